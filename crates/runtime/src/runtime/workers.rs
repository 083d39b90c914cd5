//! Programs that stay: they take lines of JSON on standard input and answer with lines of JSON on standard output.
//!
//! Every line for a worker has an `id`, which its answer repeats. `{"ping": 1}` is answered by `{"pong": 1}`: first
//! when it has started, then from time to time while it has nothing to do. A worker that ends, does not answer, or
//! takes too long is replaced; what it had not answered goes back to where it came from. Its standard error is logged. It
//! ends with all that it started when the service ends, however that ends.
//!
//! `docs/worker-protocol.md` describes the lines. A worker of the second edition says so in its first `pong`
//! (submodules `hello`, `notices`); it may send and subscribe on its own (`outside`).

mod hello;
mod keeper;
mod notices;
mod outside;
mod plan;
mod streams;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::runtime::ending::Ending;
use crate::runtime::process::{Held, Streams};
use crate::runtime::said::{lines, pieces, reason};
use zrecipe_broker::transport::Transport;
use zrecipe_language::contract::Invocation;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};

pub use self::hello::Hello;
use self::keeper::Keeper;
use self::outside::Outside;
pub(in crate::runtime) use self::outside::about;
pub use self::plan::Plan;
use self::streams::{hear_answers, hear_log, write};

/// How long a worker may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(2);

/// The same for a worker of the second edition, which may have something to finish.
const LONG_GRACE: Duration = Duration::from_secs(10);

/// The longest answer, in bytes.
const MOST: u64 = 64 << 20;

/// How many of the last lines of its log are told of a worker that cannot be started.
const MOST_SAID: usize = 20;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It took too long.
    TooLong,
    /// The worker is gone, or there is none.
    Gone(String),
    /// None can be started.
    Unstartable(Failure),
    /// The worker has ended before it began with the question.
    Unbegun,
    /// The workers are to end, and none begins with the question.
    Stopped,
}

/// How workers are.
#[derive(Debug, Default)]
struct Standing {
    /// How many are well.
    up: usize,
    /// Why the last that was started has never been well; none once one is.
    unwell: Option<Failure>,
}

/// Why a worker cannot be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// On one line.
    pub reason: String,
    /// Whether the operating system does not start the program.
    pub is_of_system: bool,
    /// The last lines of its standard error.
    pub said: Vec<String>,
    /// What to do about it, as the worker says.
    pub hint: Option<String>,
}

impl Failure {
    fn new(reason: String) -> Self {
        Self { reason, is_of_system: false, said: Vec::new(), hint: None }
    }
}

/// Workers of a kind, started again whenever they end.
pub struct Workers {
    plan: Arc<Plan>,
    questions: mpsc::UnboundedSender<Question>,
    asked: Asked,
    shared: Arc<Shared>,
    keepers: Mutex<JoinSet<()>>,
}

/// What workers of a kind have in common.
struct Shared {
    standing: watch::Sender<Standing>,
    /// What the first one that was well has said of itself.
    hello: watch::Sender<Option<Hello>>,
    /// What the service is to be called, where a worker has said so.
    name: watch::Sender<Option<String>>,
    /// Whether a worker has asked for the end of the service.
    retired: watch::Sender<bool>,
    /// Whether no more questions are taken.
    draining: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    outside: Outside,
}

type Asked = Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Question>>>;

struct Question {
    text: Object,
    /// What a worker of the second edition gets in addition.
    more: Object,
    /// What its log lines are about.
    span: tracing::Span,
    taken: oneshot::Sender<()>,
    answer: oneshot::Sender<Result<Value, Fault>>,
}

impl Workers {
    /// Workers that start when they are needed.
    pub fn new(plan: Plan) -> Self {
        Self::of_service(plan, None)
    }

    /// The same for a service whose contract says what it may send.
    pub fn of_service(plan: Plan, invocation: Option<Invocation>) -> Self {
        let (questions, asked) = mpsc::unbounded_channel();
        let shared = Shared {
            standing: watch::Sender::default(),
            hello: watch::Sender::default(),
            name: watch::Sender::default(),
            retired: watch::Sender::default(),
            draining: watch::Sender::default(),
            stop: watch::Sender::default(),
            outside: Outside::new(invocation),
        };
        Self {
            plan: Arc::new(plan),
            questions,
            asked: Arc::new(tokio::sync::Mutex::new(asked)),
            shared: Arc::new(shared),
            keepers: Mutex::default(),
        }
    }

    /// Starts them and waits for what the first one says of itself.
    ///
    /// # Errors
    /// It could not be started.
    pub async fn open(&self) -> Result<Hello, Failure> {
        self.begin();
        let late = || Failure::new(format!("worker `{}` does not start", self.name()));
        let (mut hello, mut standing) = (self.shared.hello.subscribe(), self.shared.standing.subscribe());
        let unwell = async {
            let unwell = standing.wait_for(|standing| standing.unwell.is_some()).await;
            unwell.ok().and_then(|standing| standing.unwell.clone())
        };
        tokio::select! {
            biased;
            said = hello.wait_for(Option::is_some) => said.ok().and_then(|said| said.clone()).ok_or_else(late),
            failure = unwell => Err(failure.unwrap_or_else(late)),
        }
    }

    /// What the first one that was well has said of itself.
    pub fn hello(&self) -> Option<Hello> {
        self.shared.hello.borrow().clone()
    }

    /// The broker that workers may use on their own.
    pub fn attach(&self, transport: &Arc<dyn Transport>) {
        self.shared.outside.attach(transport);
    }

    /// What the service is to be called, as soon as a worker says so.
    pub fn title(&self) -> watch::Receiver<Option<String>> {
        self.shared.name.subscribe()
    }

    /// Waits until a worker asks for the end of the service.
    pub async fn retired(&self) {
        if self.shared.retired.subscribe().wait_for(|retired| *retired).await.is_err() {
            std::future::pending::<()>().await;
        }
        // Once is enough: whoever starts the service again asks anew.
        self.shared.retired.send_replace(false);
    }

    /// Takes no more questions where workers know of that; what they are at, they finish.
    pub fn drain(&self) {
        self.shared.draining.send_replace(true);
    }

    /// What to call them.
    pub fn name(&self) -> &str {
        self.plan.name()
    }

    /// Starts them, unless they have been.
    pub fn begin(&self) {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        if keepers.is_empty() && !*self.shared.stop.borrow() {
            for _ in 0..self.plan.count.max(1) {
                let keeper = Keeper {
                    plan: Arc::clone(&self.plan),
                    asked: Arc::clone(&self.asked),
                    shared: Arc::clone(&self.shared),
                    stop: self.shared.stop.subscribe(),
                };
                keepers.spawn(keeper.keep());
            }
        }
    }

    /// Lets them end.
    pub async fn finish(&self) {
        self.shared.draining.send_replace(true);
        self.shared.stop.send_replace(true);
        let mut keepers = std::mem::take(&mut *self.keepers.lock().unwrap_or_else(PoisonError::into_inner));
        while keepers.join_next().await.is_some() {}
    }

    /// The answer of a worker to a question, which gets an `id`. Somebody who is patient waits for a worker as long as one
    /// may take to start, whatever became of others: what is at fault may be mended meanwhile.
    ///
    /// # Errors
    /// It took too long, or the worker has ended, or none can be started.
    pub async fn ask(&self, text: Object, is_patient: bool) -> Result<Value, Fault> {
        self.ask_more(text, Object::new(), is_patient).await
    }

    /// The same; a worker of the second edition gets `more` as well.
    ///
    /// # Errors
    /// As [`Workers::ask`]; or such a worker has not begun with it.
    pub async fn ask_more(&self, text: Object, more: Object, is_patient: bool) -> Result<Value, Fault> {
        self.begin();
        let (taken, is_taken) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let gone = |why: &str| Fault::Gone(format!("worker `{}` {why}", self.plan.name()));
        let question = Question { text, more, span: tracing::Span::current(), taken, answer };
        self.questions.send(question).map_err(|_| gone("no longer runs"))?;
        let mut draining = self.shared.draining.subscribe();
        let is_second = || self.shared.hello.borrow().as_ref().is_some_and(Hello::is_second);
        tokio::select! {
            biased;
            _ = is_taken => answered.await.unwrap_or_else(|_| Err(gone("has ended"))),
            () = stopped(&mut draining), if is_second() => Err(Fault::Stopped),
            failure = self.are_down(is_patient) => Err(failure.map_or_else(|| gone("does not run"), Fault::Unstartable)),
        }
    }

    /// Comes back when there has been no worker for as long as one may take to start, or, to somebody who is not patient, as
    /// soon as one could not be started; why, if that is known.
    async fn are_down(&self, is_patient: bool) -> Option<Failure> {
        let mut standing = self.shared.standing.subscribe();
        loop {
            let _ = standing.wait_for(|standing| standing.up == 0).await;
            let is_decided = |now: &Standing| now.up > 0 || !is_patient && now.unwell.is_some();
            let decided = timeout(self.plan.start_limit, standing.wait_for(is_decided)).await;
            let is_up = matches!(decided, Ok(Ok(now)) if now.up > 0);
            if !is_up {
                return self.shared.standing.borrow().unwell.clone();
            }
        }
    }
}

/// What a worker says.
enum Said {
    Answer(Vec<u8>),
    Complaint(Vec<u8>),
    /// An answer is longer than any may be.
    Endless,
    /// Its standard output is closed.
    End,
}

/// A question that a worker is at.
struct Pending {
    deadline: Instant,
    /// Whether the worker has begun with it, as far as it says so.
    has_begun: bool,
    /// Outputs that it has said before its answer.
    parts: Vec<Value>,
    span: tracing::Span,
    answer: oneshot::Sender<Result<Value, Fault>>,
}

/// A process.
struct Worker<'k> {
    plan: &'k Plan,
    shared: &'k Arc<Shared>,
    process: Held,
    lines: mpsc::UnboundedSender<String>,
    said: mpsc::Receiver<Said>,
    /// Reading and writing; ends with the worker.
    _streams: JoinSet<()>,
    pending: HashMap<i64, Pending>,
    /// The ping that is not answered yet.
    ping: Option<Instant>,
    heard: Instant,
    /// What it has answered last.
    answered: Option<tracing::Span>,
    next: i64,
    is_well: bool,
    hello: Hello,
    /// Why it cannot work and what to do about it, as it says.
    fatal: Option<(String, Option<String>)>,
    /// Questions for this worker alone: messages of its own subscriptions.
    own: (mpsc::UnboundedSender<Question>, mpsc::UnboundedReceiver<Question>),
    /// What it does beside its answers.
    errands: JoinSet<()>,
    /// Its own subscriptions, by its number.
    subscriptions: HashMap<i64, oneshot::Sender<()>>,
    is_draining: bool,
    /// When it has to have ended.
    end_by: Option<Instant>,
    complaint: String,
    /// Whether the operating system has not started it.
    is_of_system: bool,
    /// The last lines of its log.
    latest: VecDeque<String>,
}

impl<'k> Worker<'k> {
    fn new(plan: &'k Plan, shared: &'k Arc<Shared>, process: Held, streams: Streams) -> Self {
        let (lines, to_write) = mpsc::unbounded_channel();
        let (saying, said) = mpsc::channel(16);
        let mut tasks = JoinSet::new();
        tasks.spawn(write(streams.input, to_write));
        tasks.spawn(hear_log(streams.errors, saying.clone()));
        tasks.spawn(hear_answers(streams.output, saying));
        let (heard, pending) = (Instant::now(), HashMap::new());
        let mut worker = Self {
            plan,
            shared,
            process,
            lines,
            said,
            _streams: tasks,
            pending,
            ping: None,
            heard,
            answered: None,
            next: 1,
            is_well: false,
            hello: Hello::default(),
            fatal: None,
            own: mpsc::unbounded_channel(),
            errands: JoinSet::new(),
            subscriptions: HashMap::new(),
            is_draining: false,
            end_by: None,
            complaint: String::new(),
            is_of_system: false,
            latest: VecDeque::new(),
        };
        worker.ping(plan.start_limit);
        worker
    }

    /// Works until told to stop.
    ///
    /// # Errors
    /// Why it cannot go on.
    async fn work(&mut self, asked: &Asked, stop: &mut watch::Receiver<bool>) -> Result<(), String> {
        let mut draining = self.shared.draining.subscribe();
        loop {
            let deadlines = self.pending.values().map(|pending| pending.deadline).chain(self.ping);
            let due = deadlines.min().unwrap_or(self.heard + self.plan.health);
            let room = self.hello.prefetch().unwrap_or(self.plan.prefetch).max(1);
            let has_room = self.is_well && !self.is_draining && self.pending.len() < usize::from(room);
            let can_drain = self.hello.is_second() && !self.is_draining;
            tokio::select! {
                biased;
                said = self.said.recv() => match said {
                    Some(Said::Answer(line)) => self.hear(&line),
                    Some(Said::Complaint(text)) => self.complain(&text),
                    Some(Said::Endless) => {
                        let most = MOST >> 20;
                        return Err(format!("worker `{}` answers with a line of more than {most} MiB", self.plan.name()));
                    }
                    Some(Said::End) | None if self.is_draining => return Ok(()),
                    Some(Said::End) | None => return Err(self.end().await),
                },
                () = stopped(stop), if !can_drain && self.end_by.is_none() => {
                    let grace = if self.is_draining { LONG_GRACE } else { Duration::ZERO };
                    self.end_by = Some(Instant::now() + grace);
                }
                () = sleep_until(self.end_by.unwrap_or_else(Instant::now)), if self.end_by.is_some() => return Ok(()),
                () = stopped(&mut draining), if can_drain => self.drain(),
                () = sleep_until(due) => self.look()?,
                Some(question) = self.own.1.recv(), if self.is_well => self.pass_on(question),
                Some(_) = self.errands.join_next() => {}
                question = take(asked), if has_room => match question {
                    Some(question) => self.pass_on(question),
                    None => return Ok(()),
                },
            }
        }
    }

    fn pass_on(&mut self, question: Question) {
        let id = self.number();
        let mut text = Object::from_iter([("id".to_owned(), Value::from(id))]);
        text.extend(question.text);
        if self.hello.is_second() {
            text.extend(question.more);
        }
        let _ = self.lines.send(Value::Object(text).to_json());
        let _ = question.taken.send(());
        let deadline = Instant::now() + self.plan.time_limit;
        let (has_begun, parts) = (!self.hello.begins, Vec::new());
        self.pending.insert(id, Pending { deadline, has_begun, parts, span: question.span, answer: question.answer });
    }

    fn number(&mut self) -> i64 {
        self.next += 1;
        self.next - 1
    }

    fn ping(&mut self, limit: Duration) {
        let ping = Value::from([("ping", self.number())]);
        let _ = self.lines.send(ping.to_json());
        self.ping = Some(Instant::now() + limit);
    }

    fn hear(&mut self, line: &[u8]) {
        self.heard = Instant::now();
        let said = read_value(line).unwrap_or_default();
        let number = |key: &str| said.get(key).and_then(Value::as_i64);
        if number("pong").is_some() {
            self.ping = None;
            if !self.is_well {
                self.welcome(&said);
            }
            return;
        }
        if self.notice(&said) {
            return;
        }
        match number("id").and_then(|id| self.pending.remove(&id)) {
            // Whoever has asked may be gone.
            Some(pending) => {
                let _ = pending.answer.send(Ok(with_parts(said, pending.parts)));
                self.answered = Some(pending.span);
            }
            None => {
                self.log(&format!("invalid answer of worker `{}`: {}", self.plan.name(), reason(line)));
            }
        }
    }

    fn complain(&mut self, text: &[u8]) {
        for line in lines(text) {
            pieces(line).for_each(|piece| self.log(&piece));
            self.complaint = reason(line);
            if self.latest.len() == MOST_SAID {
                self.latest.pop_front();
            }
            self.latest.extend(pieces(line).next());
        }
    }

    /// A log line; about a message if it can only be about that one.
    fn log(&self, line: &str) {
        // Standard error may be heard a little later than the answer that came after it.
        let late = self.answered.as_ref().filter(|_| self.pending.is_empty() && self.heard.elapsed() < GRACE);
        let mut spans = self.pending.values().map(|pending| &pending.span).chain(late);
        match (spans.next(), spans.next()) {
            (Some(span), None) => span.in_scope(|| tracing::info!("{line}")),
            _ => tracing::info!("{line}"),
        }
    }

    /// Something is due: an answer, or a ping.
    fn look(&mut self) -> Result<(), String> {
        let now = Instant::now();
        let name = self.plan.name();
        let late = self.pending.iter().find(|(_, pending)| pending.deadline <= now).map(|(&id, _)| id);
        if let Some(pending) = late.and_then(|id| self.pending.remove(&id)) {
            let _ = pending.answer.send(Err(Fault::TooLong));
            return Err(format!("worker `{name}` took too long"));
        }
        match self.ping {
            Some(due) if due <= now && self.is_well => return Err(format!("worker `{name}` does not answer")),
            Some(due) if due <= now => return Err(format!("worker `{name}` does not answer the first `ping`")),
            // While it is at something its time limit is what counts.
            None if self.pending.is_empty() => self.ping(self.plan.health),
            _ => {}
        }
        Ok(())
    }

    /// Why it has ended.
    async fn end(&mut self) -> String {
        let ending = timeout(GRACE, self.process.ending()).await;
        while let Ok(Some(said)) = timeout(Duration::from_millis(100), self.said.recv()).await {
            if let Said::Complaint(text) = said {
                self.complain(&text);
            }
        }
        let how = match ending {
            Ok(Ok(Ending::Exited(status))) => format!("ended with exit status {status}"),
            Ok(Ok(Ending::Unstartable(reason))) => {
                self.is_of_system = true;
                self.plan.unstartable(&reason)
            }
            Ok(_) => "was killed".to_owned(),
            Err(_) => "has closed its standard output".to_owned(),
        };
        if let Some((reason, _)) = &self.fatal {
            return format!("worker `{}` cannot work: {reason}", self.plan.name());
        }
        let complaint = if self.complaint.is_empty() { String::new() } else { format!(": {}", self.complaint) };
        format!("worker `{}` {how}{complaint}", self.plan.name())
    }

    /// Gives back what it had not answered. Why it has ended.
    fn give_up(&mut self, reason: String) -> Failure {
        for (_, pending) in self.pending.drain() {
            let fault = if pending.has_begun { Fault::Gone(reason.clone()) } else { Fault::Unbegun };
            let _ = pending.answer.send(Err(fault));
        }
        let hint = self.fatal.take().and_then(|(_, hint)| hint);
        Failure { reason, is_of_system: self.is_of_system, said: std::mem::take(&mut self.latest).into(), hint }
    }

    /// Lets it end by itself: there is nothing more for it.
    async fn finish(mut self, stop: &mut watch::Receiver<bool>) {
        (self.lines, _) = mpsc::unbounded_channel();
        for (_, pending) in self.pending.drain() {
            let fault = if self.is_draining { Fault::Stopped } else { Fault::Gone("the service has ended".to_owned()) };
            let _ = pending.answer.send(Err(fault));
        }
        let _ = timeout(GRACE, self.process.ending()).await;
        // Nobody starts it again before the end.
        stopped(stop).await;
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if self.is_well {
            self.shared.standing.send_modify(|standing| standing.up -= 1);
        }
    }
}

/// An answer with what was said before it.
fn with_parts(mut said: Value, mut parts: Vec<Value>) -> Value {
    if let (Value::Object(answer), false) = (&mut said, parts.is_empty()) {
        if let Some(Value::Array(outputs)) = answer.get("outputs") {
            parts.extend(outputs.iter().cloned());
        }
        answer.insert("outputs".to_owned(), Value::Array(parts));
    }
    said
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever could say so is gone: then there is nobody to work for.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The next question that somebody still wants to be answered.
async fn take(asked: &Asked) -> Option<Question> {
    let mut asked = asked.lock().await;
    loop {
        match asked.recv().await {
            Some(question) if question.answer.is_closed() => {}
            question => return question,
        }
    }
}
