//! `zrecipe monitor` in a terminal: tmux draws it, is asked what it shows, and types.

use std::path::{Path, PathBuf};
use std::process::Command as Blocking;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::wait::{eventually, eventually_ok, within};

/// A terminal with the screen of `monitor`.
pub struct Tmux {
    socket: PathBuf,
    _directory: TempDir,
}

impl Tmux {
    /// Starts `monitor` in a directory with these variables.
    pub fn start(place: &Path, variables: &[(&str, &Path)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let tmux = Self { socket: directory.path().join("tmux"), _directory: directory };
        let state = place.join("state");
        let mut command =
            format!("exec env -u ZOCALO_CONFIG TERM=screen NO_COLOR=1 ZRECIPE_STATE='{}'", state.display());
        for (name, path) in variables {
            command.push_str(&format!(" {name}='{}'", path.display()));
        }
        command.push_str(&format!(" '{}' monitor", env!("CARGO_BIN_EXE_zrecipe")));
        let place = place.to_string_lossy();
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "-c", &place, &command]);
        tmux
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Blocking::new("tmux").arg("-S").arg(&self.socket).args(arguments).output();
        let output = output.expect("tmux runs: `tests/interop/setup` installs it");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn type_keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// Waits until the screen shows one text, and not another.
    async fn shows(&self, text: &str, not: &str) {
        eventually_ok(&format!("`{text}` on the screen, and no `{not}`"), async || {
            let screen = self.run(&["capture-pane", "-p"]);
            let is_right = screen.contains(text) && (not.is_empty() || !screen.contains(not));
            if is_right { Ok(()) } else { Err(screen) }
        })
        .await;
    }

    /// Everything that the screen is for, with these services running, which end with it.
    pub async fn works(self, services: Vec<(&str, Child)>) {
        for (name, _) in &services {
            self.shows(name, "").await;
        }
        self.shows("q quit", "").await;
        for (width, height) in [("60", "8"), ("140", "40"), ("20", "4"), ("100", "30")] {
            self.run(&["resize-window", "-x", width, "-y", height]);
            self.shows("service", "").await;
        }
        self.type_keys(&["/", "z", "z", "z"]);
        self.shows("no row matches the filter", services[0].0).await;
        for (name, mut service) in services {
            self.type_keys(&["Escape"]);
            self.shows("q quit", "no row matches").await;
            self.type_keys(&["/"]);
            self.type_keys(&["-l", name]);
            self.type_keys(&["Enter", "s"]);
            self.shows(&format!("stop {name} on "), "").await;
            self.type_keys(&["n"]);
            self.shows(" keeps running", "y/n").await;
            assert!(service.try_wait().expect("its state").is_none(), "{name} has ended unasked");
            self.type_keys(&["s", "y"]);
            let status = within("the end of a service", service.wait()).await.expect("wait");
            assert!(status.success(), "{name}: {status}");
            self.shows("no row matches the filter", "").await;
            self.type_keys(&["Escape"]);
        }
        self.type_keys(&["q"]);
        eventually("the end of the screen", async || self.run(&["list-sessions"]).is_empty()).await;
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_on_the_embedded_broker_are_watched_and_stopped() {
    let place = tempfile::tempdir().expect("a directory");
    let mut service = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    service
        .args(["service", "-s", "Runner"])
        .current_dir(place.path())
        .env("ZRECIPE_STATE", place.path().join("state"));
    service.env_remove("ZOCALO_CONFIG").kill_on_drop(true);
    let service = service.spawn().expect("starts");
    Tmux::start(place.path(), &[]).works(vec![("Runner", service)]).await;
}
