
// The view of drawings: zoom, search, keyboard and details. In a webview of VS Code it also follows the editor.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const host = typeof acquireVsCodeApi === "function" ? acquireVsCodeApi() : null;
  const MARGIN = 16;
  const MIN_SCALE = 0.02;
  const MAX_SCALE = 8;
  // Below this scale letters cannot be read: the drawing opens at its first box instead of fitted.
  const READABLE = 0.4;
  const PAN = 60;

  let recipes = [];
  // The recipe on the screen: index, drawing, natural size, and its place: screen = at + scale × point.
  let shown = null;
  let matches = [];
  let match = -1;

  const titleOf = (place) => shown.recipe.nodes[place].title;
  const nodeOf = (place) => byId(`r${shown.index + 1}n${place}`);
  const placeOf = (node) => Number(node.id.slice(node.id.indexOf("n") + 1));
  const nodes = () => [...shown.svg.querySelectorAll(".node")];

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  // --- Place of the drawing ---

  function apply() {
    const { at, scale } = shown;
    shown.stage.setAttribute("transform", `translate(${at.x} ${at.y}) scale(${scale})`);
  }

  function zoom(factor, x, y) {
    shown.isMoved = true;
    const scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, shown.scale * factor));
    const ratio = scale / shown.scale;
    shown.at = { x: x - (x - shown.at.x) * ratio, y: y - (y - shown.at.y) * ratio };
    shown.scale = scale;
    apply();
  }

  function zoomMiddle(factor) {
    zoom(factor, shown.svg.clientWidth / 2, shown.svg.clientHeight / 2);
  }

  function pan(x, y) {
    shown.isMoved = true;
    shown.at = { x: shown.at.x + x, y: shown.at.y + y };
    apply();
  }

  function fit() {
    const { svg, width, height } = shown;
    shown.isMoved = false;
    const scale = Math.min((svg.clientWidth - 2 * MARGIN) / width, (svg.clientHeight - 2 * MARGIN) / height, 1.5);
    shown.scale = Math.max(MIN_SCALE, scale);
    shown.at = {
      x: (svg.clientWidth - width * shown.scale) / 2,
      y: (svg.clientHeight - height * shown.scale) / 2,
    };
    apply();
  }

  // Moves the drawing so that a box is inside of the window.
  function reveal(node) {
    const box = node.querySelector(".box").getBoundingClientRect();
    const frame = shown.svg.getBoundingClientRect();
    const shift = (low, high, from, to) => {
      if (high - low > to - from || low < from + MARGIN) return from + MARGIN - low;
      return high > to - MARGIN ? to - MARGIN - high : 0;
    };
    const x = shift(box.left, box.right, frame.left, frame.right);
    const y = shift(box.top, box.bottom, frame.top, frame.bottom);
    if (x !== 0 || y !== 0) pan(x, y);
  }

  function open() {
    fit();
    if (shown.scale >= READABLE) return;
    const first = nodes()[0].querySelector(".box");
    const x = Number(first.getAttribute("x")) + Number(first.getAttribute("width")) / 2;
    shown.isMoved = true;
    shown.scale = 1;
    shown.at = { x: shown.svg.clientWidth / 2 - x, y: MARGIN - Number(first.getAttribute("y")) };
    apply();
  }

  // --- Details ---

  function findingList(findings) {
    const list = element("ul");
    for (const { level, rule, message, line } of findings) {
      const item = element("li");
      item.append(element("strong", `${level}: `, `level-${level}`), `${message} (line ${line}, ${rule})`);
      list.append(item);
    }
    return list;
  }

  function linkList(edges, end) {
    const list = element("ul");
    for (const edge of edges) {
      const go = element("button", titleOf(edge[end]));
      go.type = "button";
      go.addEventListener("click", () => focusOn(edge[end]));
      const item = element("li");
      item.append(go, edge.label ? ` ${edge.label}` : "");
      list.append(item);
    }
    return list;
  }

  function describe(place) {
    const details = byId("details");
    details.replaceChildren();
    if (!shown) return;
    if (place === null) {
      const { nodes, findings, name } = shown.recipe;
      const steps = nodes.filter(({ step }) => step !== null).length;
      details.append(element("h2", name), element("p", `${steps} ${steps === 1 ? "step" : "steps"}`));
      if (findings.length) details.append(element("h3", "Findings"), findingList(findings));
      const others = nodes.flatMap((node, place) => (node.findings.length ? [{ to: place, label: String(node.findings.length) }] : []));
      if (others.length) details.append(element("h3", "Boxes with findings"), linkList(others, "to"));
      return;
    }
    const node = shown.recipe.nodes[place];
    details.append(element("h2", node.title));
    if (node.findings.length) details.append(element("h3", "Findings"), findingList(node.findings));
    if (node.contract === false) details.append(element("p", "No contract describes this service."));
    if (node.details.length) {
      const list = element("dl");
      for (const [name, value] of node.details) list.append(element("dt", name), element("dd", value));
      details.append(list);
    }
    for (const [title, own, other] of [["Receives from", "to", "from"], ["Sends to", "from", "to"]]) {
      const edges = shown.recipe.edges.filter((edge) => edge[own] === place);
      if (edges.length) details.append(element("h3", title), linkList(edges, other));
    }
  }

  function mark(place) {
    for (const old of shown.svg.querySelectorAll(".current, .near")) old.classList.remove("current", "near");
    for (const node of nodes()) {
      node.setAttribute("tabindex", "-1");
      node.setAttribute("aria-pressed", "false");
    }
    const node = (place === null ? null : nodeOf(place)) ?? nodes()[0];
    node?.setAttribute("tabindex", "0");
    if (place === null || !nodeOf(place)) return;
    node.classList.add("current");
    node.setAttribute("aria-pressed", "true");
    for (const arrow of shown.svg.querySelectorAll(`[data-from="${place}"], [data-to="${place}"]`)) arrow.classList.add("near");
  }

  function select(place) {
    shown.current = place;
    mark(place);
    describe(place);
  }

  function focusOn(place) {
    select(place);
    reveal(nodeOf(place));
    nodeOf(place).focus({ preventScroll: true });
  }

  // --- Search ---

  function haystack(place) {
    const { title, details, findings } = shown.recipe.nodes[place];
    const channels = shown.recipe.edges.filter(({ from }) => from === place).map(({ label }) => label ?? "");
    return [title, ...details.flat(), ...findings.map(({ rule, message }) => `${rule} ${message}`), ...channels].join("\n").toLowerCase();
  }

  function search() {
    if (!shown?.svg) return;
    const wanted = byId("find").value.trim().toLowerCase();
    const order = nodes().map(placeOf);
    matches = wanted ? order.filter((place) => haystack(place).includes(wanted)) : [];
    match = -1;
    shown.svg.classList.toggle("searched", wanted !== "");
    for (const node of nodes()) node.classList.toggle("match", matches.includes(placeOf(node)));
    byId("found").value = wanted ? `${matches.length} found` : "";
    if (matches.length) next(1);
  }

  function next(step) {
    if (!matches.length) return;
    match = (match + step + matches.length) % matches.length;
    byId("found").value = `${match + 1} of ${matches.length}`;
    select(matches[match]);
    if (shown.scale < READABLE) zoomMiddle(1 / shown.scale);
    reveal(nodeOf(matches[match]));
  }

  // --- Keyboard ---

  // The nearest box in a direction: distance along it, and twice the distance beside it.
  function neighbour(node, dx, dy) {
    const middle = (one) => {
      const { left, top, width, height } = one.querySelector(".box").getBoundingClientRect();
      return { x: left + width / 2, y: top + height / 2 };
    };
    const from = middle(node);
    let best = null;
    for (const other of nodes()) {
      const to = middle(other);
      const along = (to.x - from.x) * dx + (to.y - from.y) * dy;
      const beside = Math.abs((to.x - from.x) * dy) + Math.abs((to.y - from.y) * dx);
      const distance = along + 2 * beside;
      if (other !== node && along > 1 && (best === null || distance < best.distance)) best = { other, distance };
    }
    return best?.other;
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function key(event) {
    const isTyping = event.target.closest("input, textarea");
    if (event.key === "Escape" && shown) {
      if (isTyping) {
        byId("find").value = "";
        search();
        (nodeOf(shown.current ?? -1) ?? nodes()[0])?.focus({ preventScroll: true });
      } else if (shown.svg) {
        select(null);
      }
      return;
    }
    const isElsewhere = event.target.closest("#panel, #tools, #index");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !shown?.svg || isElsewhere) return;
    const node = event.target.closest(".node") ?? nodes().find((one) => one.getAttribute("tabindex") === "0");
    const arrow = ARROWS[event.key];
    const ends = { Home: nodes()[0], End: nodes().at(-1) };
    if (arrow && event.shiftKey) pan(-arrow[0] * PAN, -arrow[1] * PAN);
    else if (arrow || ends[event.key]) {
      const to = arrow ? neighbour(node, ...arrow) : ends[event.key];
      if (to) focusOn(placeOf(to));
    } else if (event.key === "Enter" || event.key === " ") choose(node);
    else if (event.key === "+" || event.key === "=") zoomMiddle(1.25);
    else if (event.key === "-") zoomMiddle(0.8);
    else if (event.key === "0") fit();
    else if (event.key === "/") byId("find").focus();
    else return;
    event.preventDefault();
  }

  function choose(node) {
    select(placeOf(node));
    node.focus({ preventScroll: true });
    host?.postMessage({ kind: "clicked", box: placeOf(node) });
  }

  // --- Pointer ---

  function listen(svg) {
    const pointers = new Map();
    let moved = 0;
    let pressed = null;
    const point = ({ clientX, clientY }) => {
      const { left, top } = svg.getBoundingClientRect();
      return { x: clientX - left, y: clientY - top };
    };
    svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      if (pointers.size === 0) {
        moved = 0;
        pressed = event.target.closest(".node");
      }
      pointers.set(event.pointerId, point(event));
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const now = point(event);
      moved += Math.hypot(now.x - before.x, now.y - before.y);
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const distance = (one) => Math.hypot(one.x - other.x, one.y - other.y);
        zoom(distance(now) / Math.max(1, distance(before)), (now.x + other.x) / 2, (now.y + other.y) / 2);
        pan((now.x - before.x) / 2, (now.y - before.y) / 2);
      } else if (moved > 4) {
        svg.classList.add("dragged");
        pan(now.x - before.x, now.y - before.y);
      }
      pointers.set(event.pointerId, now);
    });
    const ended = (event) => {
      const isLast = pointers.delete(event.pointerId) && pointers.size === 0;
      if (!isLast) return;
      svg.classList.remove("dragged");
      if (event.type === "pointerup" && moved <= 4) {
        if (pressed) choose(pressed);
        else select(null);
      }
    };
    svg.addEventListener("pointerup", ended);
    svg.addEventListener("pointercancel", ended);
    svg.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
      const { x, y } = point(event);
      // A pinch on a touch pad comes as a wheel with ctrl, in smaller steps.
      zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), x, y);
    }, { passive: false });
  }

  // A drawing that nobody has moved stays fitted; in another one the current box stays in the window.
  const observer = new ResizeObserver(() => {
    if (!shown?.svg || shown.svg.clientWidth === 0) return;
    if (!shown.isMoved) fit();
    else if (shown.current !== null) reveal(nodeOf(shown.current));
  });

  // --- Pages ---

  function show(index) {
    const sections = [...document.querySelectorAll(".recipe")];
    sections.forEach((section, place) => { section.hidden = place !== index; });
    const list = byId("index");
    if (list) list.hidden = index !== -1;
    byId("back").hidden = !list || index === -1;
    const section = sections[index];
    const svg = section?.querySelector("svg") ?? null;
    byId("tools").hidden = !svg;
    byId("panel").hidden = index === -1;
    byId("name").textContent = index === -1 ? document.title : recipes[index]?.name ?? document.title;
    byId("find").value = "";
    byId("found").value = "";
    shown = null;
    if (!section) return;
    shown = { index, recipe: recipes[index], svg, current: null, at: { x: 0, y: 0 }, scale: 1, isMoved: false };
    if (svg) {
      shown.stage = svg.querySelector(".stage");
      // Only the first time: then the script moves the drawing, and not the browser.
      const [, , width, height] = (svg.dataset.size ?? svg.getAttribute("viewBox")).split(" ").map(Number);
      if (!svg.dataset.size) {
        svg.dataset.size = svg.getAttribute("viewBox");
        svg.removeAttribute("viewBox");
        listen(svg);
        observer.observe(svg);
      }
      Object.assign(shown, { width, height });
      mark(null);
      open();
    }
    describe(null);
  }

  function route() {
    const named = /^#r(\d+)$/.exec(location.hash);
    const isKnown = named && byId(location.hash.slice(1));
    show(byId("index") ? (isKnown ? Number(named[1]) - 1 : -1) : 0);
  }

  function load() {
    recipes = JSON.parse(byId("data").textContent).recipes;
  }

  // Takes another document of this format in the place of this one, and keeps what the user sees of it.
  function replace(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const before = shown;
    observer.disconnect();
    byId("drawings").replaceChildren(...page.getElementById("drawings").childNodes);
    byId("data").textContent = page.getElementById("data").textContent;
    document.title = page.title;
    const wanted = byId("find").value;
    load();
    route();
    if (before?.svg && shown?.svg && before.recipe.name === shown.recipe.name) {
      if (before.isMoved) {
        Object.assign(shown, { at: before.at, scale: before.scale, isMoved: true });
        apply();
      }
      byId("find").value = wanted;
      if (wanted) search();
    }
  }

  function follow(place) {
    if (!shown?.svg) return;
    select(place !== null && nodeOf(place) ? place : null);
    if (shown.current !== null) reveal(nodeOf(place));
  }

  byId("zoom-in").addEventListener("click", () => zoomMiddle(1.25));
  byId("zoom-out").addEventListener("click", () => zoomMiddle(0.8));
  byId("fit").addEventListener("click", fit);
  byId("find").addEventListener("input", search);
  byId("find").addEventListener("keydown", (event) => {
    if (event.key === "Enter") next(event.shiftKey ? -1 : 1);
  });
  byId("errors").addEventListener("click", ({ currentTarget }) => {
    const isOn = currentTarget.getAttribute("aria-pressed") !== "true";
    currentTarget.setAttribute("aria-pressed", String(isOn));
    byId("drawings").classList.toggle("no-errors", !isOn);
  });
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const now = root.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.style.colorScheme = now === "dark" ? "light" : "dark";
  });
  document.addEventListener("keydown", key);
  window.addEventListener("hashchange", route);
  window.addEventListener("message", ({ data }) => {
    if (!host) return;
    if (data.kind === "page") replace(data.text);
    if (data.kind === "page" || data.kind === "current") follow(data.current);
  });
  if (host) byId("theme").hidden = true;
  load();
  route();
  host?.postMessage({ kind: "ready" });
})();
