//! The container image, unpacked and run by a reader of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::project::{Verdict, is_adopted};
use crate::{PROGRAM, command, json, output, root, scratch, succeed, text, version, write};

/// An OCI layout of the program under test.
struct Layout(TempDir);

impl Layout {
    fn new() -> Self {
        let directory = scratch();
        let stripped = directory.path().join("zrecipe");
        let mut strip = command("strip", directory.path());
        strip.arg("-o").arg(&stripped).arg(PROGRAM);
        succeed(strip);
        let layout = Self(directory);
        layout.build("image");
        layout
    }

    fn build(&self, name: &str) -> PathBuf {
        let mut build = command("python3", self.0.path());
        build.arg(root().join("ci/image.py")).args(["zrecipe", name]);
        succeed(build);
        self.0.path().join(name)
    }

    /// Unpacks the image with a tag.
    fn unpack(&self, tag: &str) -> Image {
        let directory = scratch();
        let mut unpack = reader(directory.path());
        unpack.arg("unpack").arg(self.0.path().join("image")).arg(tag).arg(directory.path());
        let config = json(&succeed(unpack));
        Image { directory, config }
    }
}

fn reader(directory: &Path) -> Command {
    let mut python = command("python3", directory);
    python.arg(root().join("tests/packaging/image.py"));
    python
}

/// An unpacked image.
struct Image {
    directory: TempDir,
    config: Value,
}

impl Image {
    /// A command in a container: as another user than the image's, with a read-only root.
    fn run(&self, project: &Path, arguments: &[&str], without: Option<&str>) -> Command {
        // Only root can become another user.
        let mut words = if is_root() { vec![] } else { vec!["sudo", "-n", "--preserve-env"] };
        if may_mount() {
            words.extend(["unshare", "--mount", "--pid", "--fork"]);
        }
        words.push("python3");
        let mut run = command(words[0], self.directory.path());
        run.args(&words[1..]).arg(root().join("tests/packaging/image.py")).arg("run");
        run.arg(self.directory.path()).arg(project).args(arguments);
        run.env("IMAGE_CONFIG", self.config.to_string());
        let without = if may_mount() { without } else { Some("mounts") };
        run.envs(without.map(|without| ("IMAGE_WITHOUT", without)));
        run
    }
}

fn is_root() -> bool {
    let mut id = command("id", root());
    id.arg("-u");
    succeed(id).trim_end() == "0"
}

/// Whether a mount namespace can be made. A container with the usual rights cannot make one; then images run in a plain
/// chroot, and what needs `/proc` is not tested.
#[expect(clippy::print_stderr, reason = "says what is not tested")]
fn may_mount() -> bool {
    let mut words = if is_root() { vec![] } else { vec!["sudo", "-n"] };
    words.extend(["unshare", "--mount", "true"]);
    let mut probe = command(words[0], root());
    probe.args(&words[1..]);
    let may = output(probe).status.success();
    if !may {
        eprintln!(
            "note: no mount namespaces here (CAP_SYS_ADMIN is missing): the image runs in a chroot without /proc"
        );
    }
    may
}

#[test]
fn one_build_has_two_tags_and_always_the_same_digests() {
    let layout = Layout::new();
    let again = layout.build("again");
    let index = |directory: &Path| std::fs::read_to_string(directory.join("index.json")).expect("an index");
    assert_eq!(index(&layout.0.path().join("image")), index(&again), "digests of manifests name all that is below");
    let manifests = json(&index(&again))["manifests"].clone();
    let name = |manifest: &Value| manifest["annotations"]["org.opencontainers.image.ref.name"].clone();
    let tags: Vec<Value> = manifests.as_array().expect("a list").iter().map(name).collect();
    assert_eq!(tags, [version().to_owned(), format!("{}-shell", version())]);
}

#[test]
fn the_image_checks_a_project_that_it_cannot_write_to() {
    let layout = Layout::new();
    let image = layout.unpack(version());
    assert!(!image.directory.path().join("bin").exists(), "the image from scratch has no shell");
    assert_eq!(image.config["config"]["User"], "65534:65534");
    is_adopted(|project| {
        open(project.path());
        let output = output(image.run(project.path(), &["check", ".", "--format", "concise"], None));
        let printed = text(&output);
        let findings = printed.lines().filter_map(|line| {
            let (place, message) = line.split_once(": error: ")?;
            let rule = message.rsplit_once('[')?.1.strip_suffix(']')?;
            let mut parts = place.split(':');
            Some((parts.next()?.to_owned(), parts.next()?.parse().ok()?, rule.to_owned()))
        });
        Verdict { passed: output.status.success(), findings: findings.collect(), printed }
    });
}

/// Lets every user read a directory.
fn open(directory: &Path) {
    let mut chmod = command("chmod", directory);
    chmod.args(["-R", "go+rX", "."]);
    succeed(chmod);
}

#[test]
fn the_image_with_a_shell_runs_jobs_and_recipes() {
    let layout = Layout::new();
    let image = layout.unpack(&format!("{}-shell", version()));
    let project = scratch();
    write(
        &project.path().join("mine.json"),
        &std::fs::read_to_string(root().join("recipes/example.json")).expect("there"),
    );
    open(project.path());
    let check = "set -e; id -u; zrecipe check . | tail -1; ! touch /read-only 2>/dev/null; ";
    let run = "mkdir /tmp/w; zrecipe run ./mine.json --param workingdir=/tmp/w; head -1 /tmp/w/zocalo_out.txt";
    let script = format!("{check}{}", if may_mount() { run } else { "echo Congratulations" });
    let output = output(image.run(project.path(), &["sh", "-c", &script], None));
    let printed = text(&output);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("12345") && printed.contains("Congratulations"), "{printed}");
}

/// A container without /proc or /dev can check; a run names the cause instead of a missing file without a name.
#[test]
fn without_proc_or_dev_a_run_names_the_cause() {
    let layout = Layout::new();
    let image = layout.unpack(version());
    let project = scratch();
    open(project.path());
    let causes = [("proc", "`/proc` is not mounted"), ("dev", "cannot open `/dev/null`")];
    // Without mounts, both are missing.
    let causes = if may_mount() { &causes[..] } else { &causes[1..] };
    // Each run waits between its attempts, so they run at the same time.
    let runs: Vec<_> = causes
        .iter()
        .map(|&(without, cause)| {
            let checked = output(image.run(project.path(), &["explain", "unknown-step"], Some(without)));
            assert!(checked.status.success(), "{}", text(&checked));
            let arguments = ["run", "example", "--param", "workingdir=/tmp"];
            let mut run = image.run(project.path(), &arguments, Some(without));
            run.stdout(Stdio::piped()).stderr(Stdio::piped());
            (run.spawn().expect("setup installs unshare"), cause)
        })
        .collect();
    for (run, cause) in runs {
        let ran = run.wait_with_output().expect("it ends");
        let printed = text(&ran);
        assert_eq!(ran.status.code(), Some(1), "{printed}");
        assert!(printed.contains(&format!("was dead-lettered: {cause}")), "{printed}");
    }
}
