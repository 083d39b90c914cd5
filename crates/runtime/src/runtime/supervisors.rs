//! The supervisors of this process: those that look after a command, and some that wait for the next.
//!
//! Each has a stem ready, so that a command costs little more than to be started. Where commands follow each other there
//! is one more than are busy at once, and they take turns: one makes its next stem ready while another is at work.
//!
//! A supervisor that is busy belongs to whoever has given it an order: when that is dropped, its socket is closed, and
//! everything below it is killed. Only one below which no process was left is used again.

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as Socket;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::runtime::ending::Ending;
use crate::runtime::stem;
use crate::runtime::supervisor::{BEGIN, STOP, supervisor};
use zrecipe_language::syntax::json::read_value;

/// The most supervisors that wait.
const MOST: usize = 8;

/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// A supervisor that is busy, or about to be.
#[derive(Debug)]
pub struct Supervisor {
    control: Lines<BufReader<UnixStream>>,
    stem: Socket,
    grace: Duration,
    /// It was taken to be used by many.
    busy: Option<Busy>,
    /// It has waited.
    is_used: bool,
    /// A command has been ordered.
    has_order: bool,
}

/// A supervisor that waits.
#[derive(Debug)]
struct Idle {
    control: Socket,
    stem: Socket,
    grace: Duration,
    since: Instant,
}

/// The supervisors that are shared.
#[derive(Debug)]
struct Pool {
    idle: VecDeque<Idle>,
    busy: usize,
    /// How many were busy at once lately.
    most: usize,
    /// Ends those that wait for too long.
    keeper: Option<JoinHandle<()>>,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { idle: VecDeque::new(), busy: 0, most: 0, keeper: None });

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts as long as it is there.
#[derive(Debug)]
struct Busy;

impl Drop for Busy {
    fn drop(&mut self) {
        pool().busy -= 1;
    }
}

impl Supervisor {
    fn take(grace: Duration) -> io::Result<Self> {
        let busy = {
            let mut pool = pool();
            pool.busy += 1;
            pool.most = pool.most.max(pool.busy);
            Busy
        };
        loop {
            let idle = pool().take(grace);
            let (idle, is_used) = match idle {
                Some(idle) if idle.is_well() => (idle, true),
                Some(_) => continue,
                None => (Idle::start(grace)?, false),
            };
            return Ok(Self { busy: Some(busy), is_used, ..Self::new(idle)? });
        }
    }

    /// A new one that is nobody else's. What is asked to end has so long until it is killed.
    ///
    /// # Errors
    /// There is no room for one more process.
    pub fn start(grace: Duration) -> io::Result<Self> {
        Self::new(Idle::start(grace)?)
    }

    fn new(idle: Idle) -> io::Result<Self> {
        let Idle { control, stem, grace, .. } = idle;
        let control = BufReader::new(UnixStream::from_std(control)?).lines();
        Ok(Self { control, stem, grace, busy: None, is_used: false, has_order: false })
    }

    /// Has one of those that wait, or a new one, run a command: with its standard input, output and error, see
    /// [`stem::order`]. What is asked to end has so long until it is killed.
    ///
    /// # Errors
    /// There is no room for one more process.
    pub async fn run(grace: Duration, order: &[u8], streams: [BorrowedFd<'_>; 3]) -> io::Result<Self> {
        loop {
            let mut taken = Self::take(grace)?;
            taken.order(order, streams).await;
            // The command of one that was killed meanwhile has not begun.
            if taken.has_order || !taken.is_used {
                taken.prepare();
                return Ok(taken);
            }
        }
    }

    /// Has a command run. If that is not possible, its ending says why.
    pub async fn order(&mut self, order: &[u8], streams: [BorrowedFd<'_>; 3]) {
        let sending = async {
            let sent = stem::send(&self.stem, order, &streams)?;
            if sent < order.len() {
                UnixStream::from_std(self.stem.try_clone()?)?.write_all(&order[sent..]).await?;
            }
            // It begins when it has all, and has not begun when this fails.
            self.stem.shutdown(Shutdown::Write)
        };
        self.has_order = sending.await.is_ok();
    }

    /// Where commands follow each other, the next shall not wait for this one's supervisor.
    fn prepare(&self) {
        if self.is_used && pool().lacks_one() {
            // Without it a command takes a little longer.
            if let Ok(idle) = Idle::start(self.grace) {
                pool().add(idle);
            }
        }
    }

    /// Asks what runs to end.
    pub async fn stop(&mut self) {
        // One that is gone says nothing, which is heard elsewhere.
        let _ = self.control.get_mut().get_mut().write_all(&[STOP]).await;
    }

    /// How the command has ended, once nothing of it is left. Nothing is lost when this is dropped.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub async fn ending(&mut self) -> io::Result<Ending> {
        let line = self.control.next_line().await?;
        let report = line.and_then(|line| read_value(line.as_bytes()).ok()).unwrap_or_default();
        let number = |key: &str| report.get("ended")?.get(key)?.as_i64().and_then(|number| i32::try_from(number).ok());
        if let Some(reason) = report.get("ended").and_then(|ended| ended.get("unstartable")?.as_str()) {
            return Ok(Ending::Unstartable(reason.to_owned()));
        }
        // A stem that has no order ends in any way.
        match (number("exited"), number("signalled")) {
            (Some(code), _) if self.has_order => {
                let refusal = (code == stem::REFUSED).then(|| stem::refusal(&self.stem)).flatten();
                Ok(refusal.map_or(Ending::Exited(code), Ending::Unstartable))
            }
            (_, Some(signal)) if self.has_order => Ok(Ending::Signalled(signal)),
            _ => Err(io::Error::other("the process that supervises the command was killed")),
        }
    }

    /// Lets it wait for the next command. The one before has ended, and nothing is left of it.
    pub fn give_back(self) {
        let Self { control, grace, busy, .. } = self;
        let control = control.into_inner();
        if busy.is_none() || !control.buffer().is_empty() || !pool().has_room() {
            return;
        }
        // One that cannot take another order is of no use.
        let begun = control.into_inner().into_std().and_then(|control| Ok((begin(&control)?, control)));
        if let Ok((stem, control)) = begun {
            pool().add(Idle { control, stem, grace, since: Instant::now() });
        }
    }
}

/// Has a supervisor start a stem; the socket for its order.
fn begin(control: &Socket) -> io::Result<Socket> {
    let (stem, theirs) = Socket::pair()?;
    stem.set_nonblocking(true)?;
    stem::send(control, &[BEGIN], &[theirs.as_fd()])?;
    Ok(stem)
}

impl Idle {
    fn start(grace: Duration) -> io::Result<Self> {
        let (control, theirs) = Socket::pair()?;
        let mut command = supervisor(grace)?;
        command.stdin(OwnedFd::from(theirs));
        // Dropped, it is waited for all the same. When it ends is heard by its socket.
        drop(Command::from(command).spawn()?);
        control.set_nonblocking(true)?;
        let stem = begin(&control)?;
        Ok(Self { control, stem, grace, since: Instant::now() })
    }

    /// Whether it and its stem wait; they say something only when they end.
    fn is_well(&self) -> bool {
        let is_silent = |socket: &Socket| {
            matches!(recv(socket, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT), Err(Errno::AGAIN))
        };
        is_silent(&self.control) && is_silent(&self.stem)
    }
}

impl Pool {
    /// The one that waits longest: its stem is ready.
    fn take(&mut self, grace: Duration) -> Option<Idle> {
        let at = self.idle.iter().position(|idle| idle.grace == grace)?;
        self.idle.remove(at)
    }

    fn has_room(&self) -> bool {
        self.idle.len() < MOST.min(self.most + 1)
    }

    /// Whether a command that comes next would have to wait for its stem.
    fn lacks_one(&self) -> bool {
        self.idle.is_empty() && self.busy == self.most
    }

    fn add(&mut self, idle: Idle) {
        self.idle.push_back(idle);
        if self.keeper.as_ref().is_none_or(JoinHandle::is_finished) {
            self.keeper = Some(tokio::spawn(async {
                loop {
                    sleep(PATIENCE).await;
                    if pool().tidy() {
                        return;
                    }
                }
            }));
        }
    }

    /// Ends those that have waited for too long; whether none is left.
    fn tidy(&mut self) -> bool {
        self.idle.retain(|idle| idle.since.elapsed() < PATIENCE);
        self.most = self.busy;
        if self.idle.is_empty() {
            self.keeper = None;
        }
        self.idle.is_empty()
    }
}
