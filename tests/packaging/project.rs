//! A repository of 30 recipes with old mistakes, and what must happen to it in every CI system.

use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::{PROGRAM, command, json, output, read, scratch, succeed, text, write};

/// A repository of recipes under git.
pub struct Project(TempDir);

/// A place of a finding: file, line, rule.
pub type Finding = (String, u64, String);

/// Outcome of a job: whether the pipeline goes on, what it shows, and all that it printed.
#[derive(Debug)]
pub struct Verdict {
    pub passed: bool,
    pub findings: Vec<Finding>,
    pub printed: String,
}

const COUNT: usize = 30;

/// Links of step 2: to a step that exists, and to one that does not, too.
const RIGHT: &str = "3";
const WRONG: &str = "[3, 7]";

const CONTRACT: &str = r#"{
  "names": ["Spots"],
  "queues": ["spots"],
  "parameters": {
    "type": "object",
    "required": ["file"],
    "properties": {
      "file": {
        "type": "string"
      },
      "dose": {
        "type": "number"
      }
    }
  },
  "channels": {
    "result": {}
  }
}
"#;

fn recipe_name(number: usize) -> String {
    format!("recipes/recipe-{number:02}.json")
}

/// A recipe in the layout of `zrecipe fmt`, with the links of step 2 in line 17.
fn recipe(links: &str) -> String {
    let lines = [
        r#"{"#,
        r#"  "1": {"#,
        r#"    "service": "Images","#,
        r#"    "queue": "images","#,
        r#"    "parameters": {"#,
        r#"      "images": "{images}""#,
        r#"    },"#,
        r#"    "output": 2"#,
        r#"  },"#,
        r#"  "2": {"#,
        r#"    "service": "Spots","#,
        r#"    "queue": "spots","#,
        r#"    "parameters": {"#,
        r#"      "file": "{images}""#,
        r#"    },"#,
        r#"    "output": {"#,
        r#"      "result": LINKS"#,
        r#"    }"#,
        r#"  },"#,
        r#"  "3": {"#,
        r#"    "service": "Archive","#,
        r#"    "queue": "archive""#,
        r#"  },"#,
        r#"  "start": [[1, []]]"#,
        r#"}"#,
    ];
    lines.join("\n").replace("LINKS", links) + "\n"
}

/// Every third recipe links to a step that does not exist.
fn is_old_mistake(number: usize) -> bool {
    number.is_multiple_of(3)
}

fn unknown_step(number: usize) -> Finding {
    (recipe_name(number), 17, "unknown-step".to_owned())
}

impl Project {
    /// The repository, with all files staged and none committed.
    pub fn new() -> Self {
        let project = Self(scratch());
        for number in 1..=COUNT {
            project.write(&recipe_name(number), &recipe(if is_old_mistake(number) { WRONG } else { RIGHT }));
        }
        project.write("contracts/spots.json", CONTRACT);
        project.write("zrecipe.toml", "contracts = [\"contracts/*.json\"]\n");
        project.write("README.md", "# Recipes of a beamline\n");
        project.write("package.json", "{\"name\":   \"not-a-recipe\"}\n");
        project.git(&["init", "--quiet", "--initial-branch", "main"]);
        project.git(&["add", "--all"]);
        project
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, file: &str, text: &str) {
        write(&self.path().join(file), text);
    }

    pub fn read(&self, file: &str) -> String {
        read(&self.path().join(file))
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let mut git = command("git", self.path());
        git.args(arguments);
        succeed(git)
    }

    fn stage(&self) {
        self.git(&["add", "--all"]);
    }

    /// What is in the repository from now on; a job sees the changes since.
    pub fn commit(&self) {
        self.stage();
        self.git(&["commit", "--quiet", "--no-verify", "--message", "Change"]);
    }

    /// Runs the program on the desk of the author.
    fn zrecipe(&self, arguments: &[&str]) -> Output {
        let mut zrecipe = command(PROGRAM, self.path());
        zrecipe.args(arguments);
        output(zrecipe)
    }

    /// Writes the baseline. Returns how many findings it holds.
    fn write_baseline(&self) -> u64 {
        // It ends with 1 if there are errors, which the baseline now holds.
        let written = self.zrecipe(&["check", ".", "--write-baseline", "baseline.json"]);
        assert!(written.status.code().is_some_and(|code| code < 2), "{}", text(&written));
        let baseline = json(&self.read("baseline.json"));
        let files = baseline["findings"].as_object().expect("an object of files").values();
        files.flat_map(|file| file.as_array().expect("a list")).filter_map(|known| known["count"].as_u64()).sum()
    }
}

/// A team with old mistakes adopts a check, works with it, and repairs the old mistakes one by one.
///
/// `check` runs the job on what is staged. It must report each finding at its line and no other.
pub fn is_adopted(mut check: impl FnMut(&Project) -> Verdict) {
    let project = Project::new();
    let formatted = project.zrecipe(&["fmt", "--check", "."]);
    assert!(formatted.status.success(), "the recipes are formatted: {}", text(&formatted));
    let mut expect = |project: &Project, moment: &str, expected: Vec<Finding>| {
        project.stage();
        let mut verdict = check(project);
        verdict.findings.sort();
        assert_eq!(verdict.findings, expected, "{moment}: {}", verdict.printed);
        assert_eq!(verdict.passed, expected.is_empty(), "{moment}: {}", verdict.printed);
    };

    let old: Vec<usize> = (1..=COUNT).filter(|&number| is_old_mistake(number)).collect();
    expect(&project, "before adoption", old.iter().copied().map(unknown_step).collect());

    assert_eq!(project.write_baseline(), old.len() as u64);
    let settings = project.read("zrecipe.toml");
    project.write("zrecipe.toml", &format!("{settings}baseline = \"baseline.json\"\n"));
    expect(&project, "adopted with a baseline", Vec::new());
    project.commit();

    project.write(&recipe_name(7), &recipe(WRONG));
    expect(&project, "a new mistake", vec![unknown_step(7)]);
    project.write(&recipe_name(7), &recipe(RIGHT));
    project.write("README.md", "# Recipes of two beamlines\n");
    expect(&project, "repaired", Vec::new());
    project.commit();

    // The change is in one file, and what it breaks in others.
    let strict = CONTRACT.replace("\"required\": [\"file\"]", "\"required\": [\"file\", \"dose\"]");
    project.write("contracts/spots.json", &strict);
    let missing = |number| (recipe_name(number), 13, "missing-parameter".to_owned());
    expect(&project, "a stricter contract", (1..=COUNT).map(missing).collect());
    project.write("contracts/spots.json", CONTRACT);

    project.write(&recipe_name(3), &recipe(RIGHT));
    expect(&project, "an old mistake repaired", Vec::new());
    assert_eq!(project.write_baseline(), old.len() as u64 - 1);
    expect(&project, "the baseline has shrunk", Vec::new());
    project.commit();
    project.write(&recipe_name(3), &recipe(WRONG));
    expect(&project, "an old mistake is not made again", vec![unknown_step(3)]);
}
