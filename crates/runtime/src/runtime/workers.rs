//! Programs that stay: they take lines of JSON on standard input and answer with lines of JSON on standard output.
//!
//! Every line for a worker has an `id`, which its answer repeats. `{"ping": 1}` is answered by `{"pong": 1}`: first
//! when it has started, then from time to time while it has nothing to do. A worker that ends, does not answer, or
//! takes too long is replaced; what it had not answered goes back to where it came from. Its standard error is logged. It
//! ends with all that it started when the service ends, however that ends.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe::Sender;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::runtime::ending::Ending;
use crate::runtime::process::{self, Held, Streams};
use crate::runtime::said::{MOST_LOGGED, lines, pieces, reason, whole_lines};
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};

/// How long to wait before a worker is started again: the first time, and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// How long a worker may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(2);

/// The longest answer, in bytes.
const MOST: u64 = 64 << 20;

/// How many of the last lines of its log are told of a worker that cannot be started.
const MOST_SAID: usize = 20;

/// Which workers there are to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// How many there are.
    pub count: u16,
    /// How many questions each takes at a time.
    pub prefetch: u16,
    /// How long it may take to answer a question.
    pub time_limit: Duration,
    /// How long it may take to start.
    pub start_limit: Duration,
    /// How often it is asked whether it is well, and how long the answer may take.
    pub health: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It took too long.
    TooLong,
    /// The worker is gone, or there is none.
    Gone(String),
    /// None can be started.
    Unstartable(Failure),
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
    /// The last lines of its standard error.
    pub said: Vec<String>,
}

/// Workers of a kind, started again whenever they end.
pub struct Workers {
    plan: Arc<Plan>,
    questions: mpsc::UnboundedSender<Question>,
    asked: Asked,
    standing: Arc<watch::Sender<Standing>>,
    stop: watch::Sender<bool>,
    keepers: Mutex<JoinSet<()>>,
}

type Asked = Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Question>>>;

struct Question {
    text: Object,
    /// What its log lines are about.
    span: tracing::Span,
    taken: oneshot::Sender<()>,
    answer: oneshot::Sender<Result<Value, Fault>>,
}

impl Workers {
    /// Workers that start when they are needed.
    pub fn new(plan: Plan) -> Self {
        let (questions, asked) = mpsc::unbounded_channel();
        Self {
            plan: Arc::new(plan),
            questions,
            asked: Arc::new(tokio::sync::Mutex::new(asked)),
            standing: Arc::default(),
            stop: watch::Sender::new(false),
            keepers: Mutex::default(),
        }
    }

    /// What to call them.
    pub fn name(&self) -> &str {
        self.plan.name()
    }

    /// Starts them, unless they have been.
    pub fn begin(&self) {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        if keepers.is_empty() && !*self.stop.borrow() {
            for _ in 0..self.plan.count.max(1) {
                let keeper = Keeper {
                    plan: Arc::clone(&self.plan),
                    asked: Arc::clone(&self.asked),
                    standing: Arc::clone(&self.standing),
                    stop: self.stop.subscribe(),
                };
                keepers.spawn(keeper.keep());
            }
        }
    }

    /// Lets them end.
    pub async fn finish(&self) {
        self.stop.send_replace(true);
        let mut keepers = std::mem::take(&mut *self.keepers.lock().unwrap_or_else(PoisonError::into_inner));
        while keepers.join_next().await.is_some() {}
    }

    /// The answer of a worker to a question, which gets an `id`. Somebody who is patient waits for a worker as long as one
    /// may take to start, whatever became of others: what is at fault may be mended meanwhile.
    ///
    /// # Errors
    /// It took too long, or the worker has ended, or none can be started.
    pub async fn ask(&self, text: Object, is_patient: bool) -> Result<Value, Fault> {
        self.begin();
        let (taken, is_taken) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let gone = |why: &str| Fault::Gone(format!("worker `{}` {why}", self.plan.name()));
        let question = Question { text, span: tracing::Span::current(), taken, answer };
        self.questions.send(question).map_err(|_| gone("is not there any more"))?;
        tokio::select! {
            _ = is_taken => answered.await.unwrap_or_else(|_| Err(gone("has ended"))),
            failure = self.are_down(is_patient) => Err(failure.map_or_else(|| gone("does not run"), Fault::Unstartable)),
        }
    }

    /// Comes back when there has been no worker for as long as one may take to start, or, to somebody who is not patient, as
    /// soon as one could not be started; why, if that is known.
    async fn are_down(&self, is_patient: bool) -> Option<Failure> {
        let mut standing = self.standing.subscribe();
        loop {
            let _ = standing.wait_for(|standing| standing.up == 0).await;
            let is_decided = |now: &Standing| now.up > 0 || !is_patient && now.unwell.is_some();
            let decided = timeout(self.plan.start_limit, standing.wait_for(is_decided)).await;
            let is_up = matches!(decided, Ok(Ok(now)) if now.up > 0);
            if !is_up {
                return self.standing.borrow().unwell.clone();
            }
        }
    }
}

impl Plan {
    fn name(&self) -> &str {
        process::name(&self.command, &self.directory)
    }

    fn unstartable(&self, reason: &str) -> String {
        process::unstartable(&self.command, &self.directory, reason)
    }

    /// Starts the program; one that is a path is found from where we are, not from where it runs.
    async fn start(&self) -> std::io::Result<(Held, Streams)> {
        let mut command = self.command.clone();
        if let Some(program) = command.first_mut().filter(|program| program.contains('/')) {
            *program = std::path::absolute(self.directory.join(&*program))?.to_string_lossy().into_owned();
        }
        Held::start(&command, &self.directory).await
    }
}

/// Keeps one worker running.
struct Keeper {
    plan: Arc<Plan>,
    asked: Asked,
    standing: Arc<watch::Sender<Standing>>,
    stop: watch::Receiver<bool>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut pause = BACK_OFF.0;
        loop {
            let (was_well, reason, said) = match self.plan.start().await {
                Ok((process, streams)) => {
                    let mut worker = Worker::new(&self.plan, &self.standing, process, streams);
                    match worker.work(&self.asked, &mut self.stop).await {
                        Ok(()) => return worker.finish().await,
                        Err(reason) => (worker.is_well, worker.give_up(reason), worker.last_lines()),
                    }
                }
                Err(error) => {
                    let how = self.plan.unstartable(&error.to_string());
                    (false, format!("worker `{}` {how}", self.plan.name()), Vec::new())
                }
            };
            if was_well {
                pause = BACK_OFF.0;
            }
            if !was_well {
                let failure = Failure { reason: reason.clone(), said };
                self.standing.send_modify(|standing| standing.unwell = Some(failure));
            }
            tracing::error!("{reason}; starting again in {:.1} s", pause.as_secs_f64());
            tokio::select! {
                () = sleep(pause) => {}
                () = stopped(&mut self.stop) => return,
            }
            pause = (pause * 2).min(BACK_OFF.1);
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
    span: tracing::Span,
    answer: oneshot::Sender<Result<Value, Fault>>,
}

/// A process.
struct Worker<'k> {
    plan: &'k Plan,
    standing: &'k watch::Sender<Standing>,
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
    complaint: String,
    /// The last lines of its log.
    latest: VecDeque<String>,
}

impl<'k> Worker<'k> {
    fn new(plan: &'k Plan, standing: &'k watch::Sender<Standing>, process: Held, streams: Streams) -> Self {
        let (lines, to_write) = mpsc::unbounded_channel();
        let (saying, said) = mpsc::channel(16);
        let mut tasks = JoinSet::new();
        tasks.spawn(write(streams.input, to_write));
        tasks.spawn(hear_log(streams.errors, saying.clone()));
        tasks.spawn(hear_answers(streams.output, saying));
        let (heard, pending) = (Instant::now(), HashMap::new());
        let mut worker = Self {
            plan,
            standing,
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
            complaint: String::new(),
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
        loop {
            let deadlines = self.pending.values().map(|pending| pending.deadline).chain(self.ping);
            let due = deadlines.min().unwrap_or(self.heard + self.plan.health);
            let has_room = self.is_well && self.pending.len() < usize::from(self.plan.prefetch.max(1));
            tokio::select! {
                biased;
                said = self.said.recv() => match said {
                    Some(Said::Answer(line)) => self.hear(&line),
                    Some(Said::Complaint(text)) => self.complain(&text),
                    Some(Said::Endless) => {
                        let most = MOST >> 20;
                        return Err(format!("worker `{}` answers with a line of more than {most} MiB", self.plan.name()));
                    }
                    Some(Said::End) | None => return Err(self.end().await),
                },
                () = stopped(stop) => return Ok(()),
                () = sleep_until(due) => self.look()?,
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
        let _ = self.lines.send(Value::Object(text).to_json());
        let _ = question.taken.send(());
        let deadline = Instant::now() + self.plan.time_limit;
        self.pending.insert(id, Pending { deadline, span: question.span, answer: question.answer });
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
                self.is_well = true;
                self.standing.send_modify(|standing| *standing = Standing { up: standing.up + 1, unwell: None });
            }
            return;
        }
        match number("id").and_then(|id| self.pending.remove(&id)) {
            // Whoever has asked may be gone.
            Some(pending) => {
                let _ = pending.answer.send(Ok(said));
                self.answered = Some(pending.span);
            }
            None => {
                self.log(&format!("this is no answer of worker `{}`: {}", self.plan.name(), reason(line)));
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

    /// What it has written to its log last, in order.
    fn last_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.latest).into()
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
            Ok(Ok(Ending::Unstartable(reason))) => self.plan.unstartable(&reason),
            Ok(_) => "was killed".to_owned(),
            Err(_) => "has closed its standard output".to_owned(),
        };
        let complaint = if self.complaint.is_empty() { String::new() } else { format!(": {}", self.complaint) };
        format!("worker `{}` {how}{complaint}", self.plan.name())
    }

    /// Gives back what it had not answered.
    fn give_up(&mut self, reason: String) -> String {
        for (_, pending) in self.pending.drain() {
            let _ = pending.answer.send(Err(Fault::Gone(reason.clone())));
        }
        reason
    }

    /// Lets it end by itself: there is nothing more for it.
    async fn finish(mut self) {
        (self.lines, _) = mpsc::unbounded_channel();
        let _ = timeout(GRACE, self.process.ending()).await;
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if self.is_well {
            self.standing.send_modify(|standing| standing.up -= 1);
        }
    }
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

async fn write(mut stdin: Sender, mut lines: mpsc::UnboundedReceiver<String>) {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        // A worker that does not read any more is heard of when it ends.
        if stdin.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Passes answers on, and says when there are no more, or one is too long.
async fn hear_answers(stream: impl AsyncRead + Unpin, said: mpsc::Sender<Said>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let read = (&mut stream).take(MOST).read_until(b'\n', &mut line).await;
        if line.len() as u64 == MOST {
            let _ = said.send(Said::Endless).await;
            return;
        }
        if !matches!(read, Ok(1..)) || said.send(Said::Answer(line)).await.is_err() {
            break;
        }
    }
    let _ = said.send(Said::End).await;
}

/// Passes on what is written to a log, by whole lines unless they are too long.
async fn hear_log(stream: impl AsyncRead + Unpin, said: mpsc::Sender<Said>) {
    let mut stream = BufReader::with_capacity(MOST_LOGGED, stream);
    let mut text = Vec::new();
    loop {
        let read = stream.fill_buf().await.unwrap_or_default();
        let count = read.len();
        text.extend_from_slice(read);
        stream.consume(count);
        let whole = match whole_lines(&text) {
            _ if count == 0 => text.len(),
            0 if text.len() >= MOST_LOGGED => text.len(),
            whole => whole,
        };
        let lines: Vec<u8> = text.drain(..whole).collect();
        if !lines.is_empty() && said.send(Said::Complaint(lines)).await.is_err() || count == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn logs_are_heard_by_lines() {
        let long = "x".repeat(MOST_LOGGED + 10);
        for (text, expected) in [
            ("10%\r20%\r\nlast", vec!["10%\r20%\r\n", "last"]),
            ("", vec![]),
            // One that does not end is passed on before it is all there.
            (long.as_str(), vec![&long[..MOST_LOGGED], "xxxxxxxxxx"]),
        ] {
            let (saying, mut said) = mpsc::channel(16);
            hear_log(text.as_bytes(), saying).await;
            let mut heard = Vec::new();
            while let Some(Said::Complaint(text)) = said.recv().await {
                heard.push(String::from_utf8(text).expect("is text"));
            }
            assert_eq!(heard, expected);
        }
    }
}
