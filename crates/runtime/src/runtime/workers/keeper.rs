//! Keeps a worker running: starts it again whenever it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::{Asked, Failure, Hello, Plan, Shared, Worker, stopped};
use zrecipe_broker::backoff::Backoff;

/// How long to wait before a worker is started again: the first time, and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Keeps one worker running.
pub(super) struct Keeper {
    pub(super) plan: Arc<Plan>,
    pub(super) asked: Asked,
    pub(super) shared: Arc<Shared>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Keeper {
    pub(super) async fn keep(mut self) {
        let mut backoff = Backoff::new(BACK_OFF);
        loop {
            let (was_well, failure) = match self.plan.start().await {
                Ok((process, streams)) => {
                    let mut worker = Worker::new(&self.plan, &self.shared, process, streams);
                    match worker.work(&self.asked, &mut self.stop).await {
                        Ok(()) => return worker.finish(&mut self.stop).await,
                        Err(reason) => (worker.is_well, worker.give_up(reason)),
                    }
                }
                Err(error) => {
                    let how = self.plan.unstartable(&error.to_string());
                    let reason = format!("worker `{}` {how}", self.plan.name());
                    (false, Failure { is_of_system: true, ..Failure::new(reason) })
                }
            };
            if was_well {
                backoff.reset();
            }
            let reason = failure.reason.clone();
            let is_second = self.shared.hello.borrow().as_ref().is_some_and(Hello::is_second);
            if is_second && *self.shared.draining.borrow() {
                return stopped(&mut self.stop).await;
            }
            if !was_well {
                self.shared.standing.send_modify(|standing| standing.unwell = Some(failure));
            }
            let pause = backoff.pause();
            tracing::error!("{reason}; restarting in {:.1} s", pause.as_secs_f64());
            tokio::select! {
                () = sleep(pause) => {}
                () = stopped(&mut self.stop) => return,
            }
        }
    }
}
