//! The Python wheel and the source archives.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{PROGRAM, Packages, command, output, read, root, scratch, succeed, text, tool, version};

#[test]
fn an_installed_wheel_checks_and_runs_recipes() {
    let packages = Packages::new();
    let folder = scratch();
    let mut venv = command("python3", folder.path());
    venv.args(["-m", "venv", "venv"]);
    succeed(venv);
    let bin = folder.path().join("venv/bin");
    // As the README has it; the index is the directory of the wheel.
    let readme = read(&root().join("README.md"));
    let (_, block) = readme.split_once("## Install\n\n```sh\n").expect("a block");
    let (line, _) = block.split_once("\n```").expect("an end");
    assert_eq!(line, "pip install zrecipe");
    let mut install = command("sh", folder.path());
    install.args(["-c", line]).env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    install.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", packages.wheel.parent().expect("has one"));
    succeed(install);

    // A path that does not lead to another installation.
    let run = |program: &str, arguments: &[&str], variables: &[(&str, &str)]| {
        let mut run = command(bin.join(program), folder.path());
        run.env("PATH", "/usr/bin:/bin").envs(variables.iter().copied()).args(arguments);
        output(run)
    };
    let printed = run("zrecipe", &["--version"], &[]);
    assert_eq!(text(&printed), format!("zrecipe {}\n", version()));
    let recipes = root().join("recipes");
    let checked = run("zrecipe", &["check", recipes.to_str().expect("UTF-8")], &[]);
    assert!(checked.status.success(), "{}", text(&checked));
    let ran = run("zrecipe", &["run", "example", "--param", "workingdir=."], &[]);
    assert!(ran.status.success(), "{}", text(&ran));
    assert!(read(&folder.path().join("zocalo_out.txt")).contains("Congratulations"));

    // The module has the arguments, the output and the exit status of the program.
    let module = run("python", &["-m", "zrecipe", "--version"], &[]);
    assert_eq!(text(&module), format!("zrecipe {}\n", version()));
    let refused = run("python", &["-m", "zrecipe", "check", "missing.json"], &[]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    let ran = run("python", &["-m", "zrecipe", "run", "example", "--param", "workingdir=module"], &[]);
    assert!(ran.status.success(), "{}", text(&ran));
    assert!(folder.path().join("module/zocalo_out.txt").is_file());

    // Distributors install the program elsewhere.
    let find = "import zrecipe; print(zrecipe.find_program())";
    let found = run("python", &["-c", find], &[]);
    assert_eq!(text(&found).trim_end(), bin.join("zrecipe").to_str().expect("UTF-8"));
    std::fs::remove_file(bin.join("zrecipe")).expect("is installed");
    let elsewhere = [("ZRECIPE_PROGRAM", PROGRAM)];
    let module = run("python", &["-m", "zrecipe", "--version"], &elsewhere);
    assert_eq!(text(&module), format!("zrecipe {}\n", version()));
    for (variables, cause) in
        [(&[][..], "install the package again"), (&[("ZRECIPE_PROGRAM", "/missing/zrecipe")][..], "/missing/zrecipe")]
    {
        let refused = run("python", &["-m", "zrecipe", "--version"], variables);
        assert_eq!(refused.status.code(), Some(2));
        let told = text(&refused);
        assert!(told.starts_with("error: ") && told.contains(cause) && !told.contains("Traceback"), "{told}");
    }
}

/// The wheel of a release has the same files and metadata, and maturin's list of components besides.
#[test]
fn a_wheel_is_laid_out_as_maturin_does() {
    let packages = Packages::new();
    let list = "import sys, zipfile; print('\\n'.join(zipfile.ZipFile(sys.argv[1]).namelist()))";
    let mut python = command(tool("python"), packages.directory());
    python.args(["-c", list]).arg(&packages.wheel);
    let listed = succeed(python);
    let release = format!("zrecipe-{}", version());
    let sources = files(&root().join("python/zrecipe"));
    assert!(sources.contains("__main__.py") && sources.contains("bridge/__main__.py"), "{sources:?}");
    let sources =
        sources.into_iter().filter(|file| !file.contains("__pycache__")).map(|file| format!("zrecipe/{file}"));
    let metadata = [
        format!("{release}.data/scripts/zrecipe"),
        format!("{release}.dist-info/entry_points.txt"),
        format!("{release}.dist-info/METADATA"),
        format!("{release}.dist-info/RECORD"),
        format!("{release}.dist-info/WHEEL"),
        format!("{release}.dist-info/licenses/LICENSE"),
        format!("{release}.dist-info/licenses/LICENSE-APACHE"),
        format!("{release}.dist-info/licenses/LICENSE-MIT"),
    ];
    let expected: BTreeSet<String> = sources.chain(metadata).collect();
    assert_eq!(listed.lines().map(str::to_owned).collect::<BTreeSet<_>>(), expected);

    let show = "import sys, zipfile; a = zipfile.ZipFile(sys.argv[1]); \
                print(a.read(next(n for n in a.namelist() if n.endswith('METADATA'))).decode())";
    let mut python = command(tool("python"), packages.directory());
    python.args(["-c", show]).arg(&packages.wheel);
    let metadata = succeed(python);
    for line in ["Name: zrecipe", &format!("Version: {}", version()), "License-Expression: MIT OR Apache-2.0"] {
        assert!(metadata.lines().any(|known| known == line), "no line `{line}` in\n{metadata}");
    }
    assert!(packages.wheel.to_str().is_some_and(|name| name.contains("-py3-none-")), "any Python 3 can install it");
}

/// A source archive builds the program, so it holds all that the sources include, and no tests.
#[test]
fn source_archives_hold_what_is_built_and_no_tests() {
    let folder = scratch();
    let mut sdist = command(tool("maturin"), root());
    sdist.arg("sdist").arg("--out").arg(folder.path());
    let mut package = command(env!("CARGO"), root());
    package.args(["package", "--list", "--allow-dirty", "--offline", "--locked"]);
    for command in [&mut sdist, &mut package] {
        for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
    }
    succeed(sdist);
    let crate_files: BTreeSet<String> = succeed(package).lines().map(str::to_owned).collect();

    let release = format!("zrecipe-{}", version());
    let mut unpack = command("tar", folder.path());
    unpack.args(["-xzf", &format!("{release}.tar.gz")]);
    succeed(unpack);
    let archive = folder.path().join(&release);
    let archived = files(&archive);
    assert!(archived.contains("pyproject.toml") && archived.contains("python/zrecipe/__init__.py"), "{archived:?}");
    assert!(archived.contains("Cargo.lock"), "versions of dependencies are locked");

    for (name, files) in [("crate", &crate_files), ("source archive", &archived)] {
        let is_test = |file: &str| {
            let parts = Path::new(file).components();
            let mut names = parts.filter_map(|part| part.as_os_str().to_str());
            names.any(|name| ["tests", "benches", "fuzz", "editors", "snapshots"].contains(&name))
        };
        let tests: Vec<&String> = files.iter().filter(|file| is_test(file)).collect();
        assert!(tests.is_empty(), "the {name} holds tests: {tests:?}");
    }
    // What a source includes lies in the archive, at the same place.
    let mut included = 0;
    for file in archived.iter().filter(|file| file.ends_with(".rs")) {
        let source = read(&archive.join(file));
        for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (_, rest) in ["include_str!(\"", "include_bytes!(\""].iter().filter_map(|word| line.split_once(word)) {
                let (path, _) = rest.split_once('"').expect("the path ends");
                let path = archive.join(file).parent().expect("is in a directory").join(path);
                assert!(path.is_file(), "{file} includes {}, which the archive lacks", path.display());
                included += 1;
            }
        }
    }
    assert!(included > 5, "the sources include schemas and recipes; found {included}");
}

/// The files below a directory, relative to it.
fn files(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(&next).expect("can be read") {
            let path = entry.expect("can be read").path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let relative = path.strip_prefix(directory).expect("is below");
                found.insert(relative.to_str().expect("UTF-8").to_owned());
            }
        }
    }
    found
}
