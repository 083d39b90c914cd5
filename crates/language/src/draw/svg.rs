//! SVG, which browsers and editors show as it is: boxes in layers from top to bottom, each below what it follows from.
//!
//! Colours are properties (`--box`, `--line`, `--text`, `--bad`), so that the page around it can set them. The group of
//! the box `n` has the id `n` with its place, as in a flowchart.

use std::fmt::Write as _;

use super::{Diagram, EdgeKind, Format, Node, NodeKind};

/// The format of this file.
pub static FORMAT: Format = Format { name: "svg", description: "a picture for browsers and editors", render };

/// Width of a character, height of a line, and what is left free: around text, between boxes and between layers.
const CHARACTER: f64 = 7.0;
const LINE: f64 = 16.0;
const PADDING: f64 = 10.0;
const BETWEEN: f64 = 28.0;
const LAYERS: f64 = 52.0;
/// Arrows over several layers keep clear of the boxes between, but for so many that the picture is no use anyway.
const MOST_BENDS: usize = 20_000;
/// How often boxes are moved towards their neighbours.
const SWEEPS: usize = 8;

// A program that knows no properties passes over what names them, and takes the colour before.
const STYLE: &str = "text{font:12px sans-serif;fill:#222;fill:var(--text,#222);text-anchor:middle}\
.box{fill:#fff;fill:var(--box,#fff);stroke:#555;stroke:var(--line,#555)}.topic .box,.both .box{stroke-width:2.5}\
.nowhere .box{stroke-dasharray:2 3}.error .box,.missing .box{stroke:#b22222;stroke:var(--bad,#b22222)}\
.missing .box{stroke-dasharray:5 4}.arrow{fill:none;stroke:#555;stroke:var(--line,#555)}.start.arrow{stroke-width:2.5}\
.error.arrow,.broken.arrow{stroke:#b22222;stroke:var(--bad,#b22222);stroke-dasharray:5 4}\
.head{fill:#555;fill:context-stroke}.label{font-size:11px;\
paint-order:stroke;stroke:#fff;stroke:var(--box,#fff);stroke-width:3px}";

fn render(diagrams: &[Diagram]) -> String {
    let (mut body, mut width, mut height) = (String::new(), 0.0_f64, 0.0_f64);
    for (number, diagram) in diagrams.iter().enumerate() {
        let several = diagrams.len() > 1;
        let prefix = if several { format!("r{}", number + 1) } else { String::new() };
        let top = if several { LINE * 2.0 } else { 0.0 };
        let layout = Layout::new(diagram);
        let left = width + if number > 0 { BETWEEN } else { 0.0 };
        let _ = writeln!(body, "<g transform=\"translate({left:.0} {top:.0})\">");
        if several {
            let (middle, name) = (layout.width / 2.0, escape(&diagram.name));
            let _ = writeln!(body, "<text x=\"{middle:.0}\" y=\"{:.0}\">{name}</text>", -LINE / 2.0);
        }
        layout.draw(diagram, &prefix, &mut body);
        body.push_str("</g>\n");
        (width, height) = (left + layout.width, height.max(top + layout.height));
    }
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\">\n<style>{STYLE}</style>\n"
    );
    out.push_str(
        "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"head\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\n",
    );
    out + &body + "</svg>\n"
}

/// Where everything is.
struct Layout {
    /// The boxes of the diagram, and then bends of arrows: centre, top, and size.
    spots: Vec<Spot>,
    /// The spots of each layer, from left to right.
    layers: Vec<Vec<usize>>,
    /// The spots that each arrow passes, its ends included, from top to bottom.
    ways: Vec<Vec<usize>>,
    width: f64,
    height: f64,
}

#[derive(Clone)]
struct Spot {
    layer: usize,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Layout {
    fn new(diagram: &Diagram) -> Self {
        let depths = depths(diagram);
        let size = |node: &Node| {
            let columns = node.lines.iter().map(|line| columns(line)).max().unwrap_or(0);
            (columns as f64 * CHARACTER + 2.0 * PADDING, node.lines.len() as f64 * LINE + PADDING)
        };
        let spots = diagram.nodes.iter().zip(&depths).map(|(node, &layer)| {
            let (width, height) = size(node);
            Spot { layer, x: 0.0, y: 0.0, width, height }
        });
        let count = depths.iter().max().map_or(0, |depth| depth + 1);
        let mut layout =
            Self { spots: spots.collect(), layers: vec![Vec::new(); count], ways: Vec::new(), width: 0.0, height: 0.0 };
        for (place, &depth) in depths.iter().enumerate() {
            layout.layers[depth].push(place);
        }
        let span = |edge: &super::Edge| depths[edge.from].abs_diff(depths[edge.to]).saturating_sub(1);
        let has_bends = diagram.edges.iter().map(span).sum::<usize>() <= MOST_BENDS;
        for edge in &diagram.edges {
            let (from, to) =
                if depths[edge.from] <= depths[edge.to] { (edge.from, edge.to) } else { (edge.to, edge.from) };
            let between = if has_bends { depths[from] + 1..depths[to].max(depths[from] + 1) } else { 0..0 };
            let bends: Vec<usize> = between.map(|layer| layout.bend(layer)).collect();
            layout.ways.push([from].into_iter().chain(bends).chain([to]).collect());
        }
        layout.arrange();
        layout
    }

    fn bend(&mut self, layer: usize) -> usize {
        self.spots.push(Spot { layer, x: 0.0, y: 0.0, width: BETWEEN, height: 0.0 });
        self.layers[layer].push(self.spots.len() - 1);
        self.spots.len() - 1
    }

    /// Orders every layer by where the neighbours are, and moves all towards them.
    fn arrange(&mut self) {
        let mut above = vec![Vec::new(); self.spots.len()];
        let mut below = above.clone();
        for step in self.ways.iter().flat_map(|way| way.windows(2)) {
            if self.spots[step[0]].layer != self.spots[step[1]].layer {
                below[step[0]].push(step[1]);
                above[step[1]].push(step[0]);
            }
        }
        for layer in 0..self.layers.len() {
            self.place(layer, &above, true);
        }
        for sweep in 0..SWEEPS {
            let (neighbours, order) = if sweep % 2 == 0 { (&below, true) } else { (&above, false) };
            let sorts = sweep < SWEEPS - 2;
            for at in 0..self.layers.len() {
                self.place(if order { self.layers.len() - 1 - at } else { at }, neighbours, sorts);
            }
        }
        let left = self.spots.iter().map(|spot| spot.x - spot.width / 2.0).fold(f64::MAX, f64::min).min(1e9);
        let mut top = PADDING;
        for layer in &self.layers {
            let height = layer.iter().map(|&spot| self.spots[spot].height).fold(0.0, f64::max);
            for &spot in layer {
                let spot = &mut self.spots[spot];
                (spot.x, spot.y) = (spot.x - left + PADDING, top + (height - spot.height) / 2.0);
            }
            top += height + LAYERS;
        }
        // Loops and labels stand out to the right.
        let right = self.spots.iter().map(|spot| spot.x + spot.width / 2.0).fold(0.0, f64::max);
        (self.width, self.height) = (right + 4.0 * PADDING, (top - LAYERS + PADDING).max(2.0 * PADDING));
    }

    /// Places a layer: everything as near to the middle of its neighbours as the others in the layer let it.
    fn place(&mut self, layer: usize, neighbours: &[Vec<usize>], sorts: bool) {
        let spots = &self.spots;
        let wish = |spot: &usize| match neighbours[*spot].as_slice() {
            [] => spots[*spot].x,
            near => near.iter().map(|&other| spots[other].x).sum::<f64>() / near.len() as f64,
        };
        let mut row = std::mem::take(&mut self.layers[layer]);
        if sorts {
            row.sort_by(|a, b| wish(a).total_cmp(&wish(b)));
        }
        // Without what is between them, wishes must not fall: what falls is pooled in the middle.
        let mut offset = 0.0;
        let mut pools: Vec<(f64, usize)> = Vec::new();
        let mut offsets = Vec::with_capacity(row.len());
        for (place, spot) in row.iter().enumerate() {
            if place > 0 {
                offset += (spots[row[place - 1]].width + spots[*spot].width) / 2.0 + BETWEEN;
            }
            offsets.push(offset);
            let mut pool = (wish(spot) - offset, 1);
            while let Some(&(mean, count)) = pools.last().filter(|last| last.0 >= pool.0) {
                pool = ((mean * count as f64 + pool.0 * pool.1 as f64) / (count + pool.1) as f64, count + pool.1);
                pools.pop();
            }
            pools.push(pool);
        }
        let means = pools.iter().flat_map(|&(mean, count)| std::iter::repeat_n(mean, count));
        let places: Vec<f64> = means.zip(offsets).map(|(mean, offset)| mean + offset).collect();
        for (&spot, x) in row.iter().zip(places) {
            self.spots[spot].x = x;
        }
        self.layers[layer] = row;
    }

    fn draw(&self, diagram: &Diagram, prefix: &str, out: &mut String) {
        // Arrows between the same boxes lie side by side.
        let mut seen = std::collections::HashMap::new();
        let mut labels: Vec<(f64, f64, f64)> = Vec::new();
        // Over all arrows.
        let mut texts = String::new();
        for (edge, way) in diagram.edges.iter().zip(&self.ways) {
            let before = seen.entry((edge.from, edge.to)).or_insert(0_u32);
            let aside = f64::from(*before);
            *before += 1;
            let _ = writeln!(out, "<g transform=\"translate({:.1} 0)\">", aside * PADDING);
            let (line, places) = if edge.from == edge.to {
                self.around(edge.from)
            } else {
                let points: Vec<&Spot> = way.iter().map(|&spot| &self.spots[spot]).collect();
                self.along(&points, edge.from == way[0])
            };
            let class = match edge.kind {
                EdgeKind::Start => "start",
                EdgeKind::Output => "output",
                EdgeKind::Error => "error",
                EdgeKind::Broken => "broken",
            };
            let _ = writeln!(out, "<path class=\"{class} arrow\" d=\"{line}\" marker-end=\"url(#head)\"/>");
            if let Some(text) = &edge.label {
                // Where it covers no other, if there is such a place.
                let half = columns(text) as f64 * CHARACTER / 2.0;
                let is_free = |&&(x, y): &&(f64, f64)| {
                    let covers = |&(u, v, other): &(f64, f64, f64)| {
                        (x + aside * PADDING - u).abs() < half + other && (y - v).abs() < LINE * 0.7
                    };
                    !labels.iter().any(covers)
                };
                let (x, y) = places.iter().find(is_free).or(places.first()).copied().unwrap_or_default();
                let x = x + aside * PADDING;
                labels.push((x, y, half));
                let text = escape(text);
                let _ = writeln!(texts, "<text class=\"label\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
            }
            out.push_str("</g>\n");
        }
        out.push_str(&texts);
        for (place, (node, spot)) in diagram.nodes.iter().zip(&self.spots).enumerate() {
            let (class, round) = match node.kind {
                NodeKind::Start => ("start", 12.0),
                NodeKind::Error => ("error", 12.0),
                NodeKind::Queue => ("queue", 3.0),
                NodeKind::Topic => ("topic", 8.0),
                NodeKind::QueueAndTopic => ("both", 3.0),
                NodeKind::Nowhere => ("nowhere", 3.0),
                NodeKind::Missing => ("missing", 3.0),
            };
            let step = node.step.map_or(String::new(), |step| format!(" data-step=\"{step}\""));
            let (left, Spot { x, y, width, height, .. }) = (spot.x - spot.width / 2.0, spot);
            let _ = writeln!(out, "<g id=\"{prefix}n{place}\" class=\"{class} node\"{step}>");
            let _ = writeln!(
                out,
                "<rect class=\"box\" x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{round}\"/>"
            );
            for (number, line) in node.lines.iter().enumerate() {
                let y = y + PADDING / 2.0 + LINE * (number as f64 + 0.75);
                let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(line));
            }
            out.push_str("</g>\n");
        }
    }

    /// A line from spot to spot, and where its label may be, the best place first. Arrows go from the lower edge to the upper one, or back up.
    fn along(&self, points: &[&Spot], downwards: bool) -> (String, Vec<(f64, f64)>) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return <_>::default() };
        if first.layer == last.layer {
            // Side by side: below both.
            let (from, to) = if downwards { (first, last) } else { (last, first) };
            let (y, z) = (from.y + from.height, to.y + to.height);
            let low = y.max(z) + LAYERS * 0.7;
            let line = format!("M{:.1} {y:.1}C{:.1} {low:.1} {:.1} {low:.1} {:.1} {z:.1}", from.x, from.x, to.x, to.x);
            return (line, beside(((from.x + to.x) / 2.0, low - LAYERS * 0.2)));
        }
        let mut corners = Vec::with_capacity(points.len() + 1);
        for (place, spot) in points.iter().enumerate() {
            if place > 0 {
                corners.push((spot.x, spot.y));
            }
            if place + 1 < points.len() && (place == 0 || spot.height > 0.0) {
                corners.push((spot.x, spot.y + spot.height));
            }
        }
        if !downwards {
            // Beside the arrow that leads down.
            corners.iter_mut().for_each(|corner| corner.0 += BETWEEN / 2.0);
            corners.reverse();
        }
        let (start, end) = (corners[0], corners[1]);
        let mut line = format!("M{:.1} {:.1}", start.0, start.1);
        for pair in corners.windows(2) {
            let ((x, y), (u, v)) = (pair[0], pair[1]);
            let middle = (y + v) / 2.0;
            let _ = write!(line, "C{x:.1} {middle:.1} {u:.1} {middle:.1} {u:.1} {v:.1}");
        }
        let places = [0.5, 0.2, 0.8, 0.12, 0.88].map(|part: f64| {
            let (rest, middle) = (1.0 - part, (start.1 + end.1) / 2.0);
            let (first, last) = (rest * rest * (rest + 3.0 * part), part * part * (part + 3.0 * rest));
            let inner = 3.0 * rest * part;
            let y = rest.powi(3) * start.1 + inner * middle + part.powi(3) * end.1;
            (first * start.0 + last * end.0, y + 4.0)
        });
        (line, places.to_vec())
    }

    /// A loop at the right of a box.
    fn around(&self, place: usize) -> (String, Vec<(f64, f64)>) {
        let spot = &self.spots[place];
        let (right, y) = (spot.x + spot.width / 2.0, spot.y + spot.height / 2.0);
        let far = right + BETWEEN;
        let line = format!(
            "M{right:.1} {:.1}C{far:.1} {:.1} {far:.1} {:.1} {right:.1} {:.1}",
            y + 6.0,
            y + 14.0,
            y - 14.0,
            y - 6.0
        );
        (line, beside((far, y + 4.0)))
    }
}

/// Where a label may be that has no line to move along: below others.
fn beside((x, y): (f64, f64)) -> Vec<(f64, f64)> {
    (0..4).map(|line| (x, y + f64::from(line) * LINE * 0.75)).collect()
}

/// How far below the top each box is: below all that lead to it, where arrows that would go in a circle do not count.
fn depths(diagram: &Diagram) -> Vec<usize> {
    let mut targets = vec![Vec::new(); diagram.nodes.len()];
    for edge in diagram.edges.iter().filter(|edge| edge.from != edge.to) {
        targets[edge.from].push(edge.to);
    }
    // Boxes in the order in which a search leaves them: backwards, every arrow that counts points forward.
    let mut left = Vec::with_capacity(targets.len());
    let mut state = vec![(false, false); targets.len()];
    let mut stack = Vec::new();
    let mut back = std::collections::HashSet::new();
    let (starts, rest): (Vec<usize>, Vec<usize>) =
        (0..targets.len()).partition(|&place| diagram.nodes[place].kind == NodeKind::Start);
    for root in starts.into_iter().chain(rest) {
        if state[root].0 {
            continue;
        }
        state[root].0 = true;
        stack.push((root, 0));
        while let Some((place, next)) = stack.pop() {
            match targets[place].get(next) {
                Some(&target) => {
                    stack.push((place, next + 1));
                    match state[target] {
                        (false, _) => {
                            state[target].0 = true;
                            stack.push((target, 0));
                        }
                        (true, false) => {
                            back.insert((place, target));
                        }
                        (true, true) => {}
                    }
                }
                None => {
                    state[place].1 = true;
                    left.push(place);
                }
            }
        }
    }
    let mut depths = vec![0; targets.len()];
    for &place in left.iter().rev() {
        for &target in targets[place].iter().filter(|&&target| !back.contains(&(place, target))) {
            depths[target] = depths[target].max(depths[place] + 1);
        }
    }
    depths
}

/// About how many letters wide a text is: those of East Asia and pictures are wider.
fn columns(text: &str) -> usize {
    text.chars().map(|character| if u32::from(character) >= 0x1100 { 2 } else { 1 }).sum()
}

/// Text of XML, without what may not stand in it.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            character if character.is_control() => out.push('\u{fffd}'),
            character => out.push(character),
        }
    }
    out
}
