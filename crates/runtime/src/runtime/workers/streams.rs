//! Standard input, output and error of a worker.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe::Sender;
use tokio::sync::mpsc;

use super::{MOST, Said};
use crate::runtime::said::{MOST_LOGGED, whole_lines};

pub(super) async fn write(mut stdin: Sender, mut lines: mpsc::UnboundedReceiver<String>) {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        // A worker that does not read any more is heard of when it ends.
        if stdin.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Passes answers on, and says when there are no more, or one is too long.
pub(super) async fn hear_answers(stream: impl AsyncRead + Unpin, said: mpsc::Sender<Said>) {
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
pub(super) async fn hear_log(stream: impl AsyncRead + Unpin, said: mpsc::Sender<Said>) {
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
