//! Frames of STOMP 1.2: encoding, and decoding of a stream that arrives in pieces.
//!
//! Format: <https://stomp.github.io/stomp-specification-1.2.html>.

/// Maximum length of a command or header line in bytes. ActiveMQ's own limit is 10 KiB.
const MAX_LINE: usize = 64 << 10;
/// Maximum number of headers of a frame, as in ActiveMQ.
const MAX_HEADERS: usize = 1_000;
/// Maximum length of a body in bytes: more than ActiveMQ's default limit of 100 MiB.
const MAX_BODY: usize = 128 << 20;

/// A frame. Names of headers may repeat; the first one counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// The command, such as `SEND`.
    pub command: String,
    /// Headers with escapes undone.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A line or the body is too long, or there are too many headers.
    #[error("a STOMP frame exceeds the limit of {0}")]
    TooLong(&'static str),
    /// A header line has no colon.
    #[error("a STOMP header has no `:`")]
    Header,
    /// A header has a backslash before another character than `r`, `n`, `c` and `\`.
    #[error("a STOMP header has an invalid escape")]
    Escape,
    /// `content-length` is not a number.
    #[error("`content-length` of a STOMP frame is not a number")]
    Length,
    /// No null byte follows the body.
    #[error("no null byte follows the body of a STOMP frame")]
    End,
}

impl Frame {
    /// A frame without headers and body.
    pub fn new(command: &str) -> Self {
        Self { command: command.to_owned(), ..Self::default() }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The first header of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The bytes of the frame. Frames with a body have `content-length`.
    pub fn encode(&self) -> Vec<u8> {
        let size: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        let mut bytes = Vec::with_capacity(self.command.len() + size + self.body.len() + 64);
        bytes.extend(self.command.as_bytes());
        bytes.push(b'\n');
        // These two are as in STOMP 1.0, without escapes.
        let is_plain = is_plain(&self.command);
        for (name, value) in &self.headers {
            for (text, end) in [(name, b':'), (value, b'\n')] {
                if is_plain {
                    bytes.extend(text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r' | 0)));
                } else {
                    escape(text, &mut bytes);
                }
                bytes.push(end);
            }
        }
        if !self.body.is_empty() && self.get("content-length").is_none() {
            bytes.extend(format!("content-length:{}\n", self.body.len()).as_bytes());
        }
        bytes.push(b'\n');
        bytes.extend(&self.body);
        bytes.push(0);
        bytes
    }
}

fn is_plain(command: &str) -> bool {
    matches!(command, "CONNECT" | "CONNECTED")
}

/// The number of bytes of a text in a header.
pub fn escaped_len(text: &str) -> usize {
    text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n' | b':' | b'\\') { 2 } else { 1 }).sum()
}

fn escape(text: &str, bytes: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\r' => bytes.extend(b"\\r"),
            b'\n' => bytes.extend(b"\\n"),
            b':' => bytes.extend(b"\\c"),
            b'\\' => bytes.extend(b"\\\\"),
            byte => bytes.push(byte),
        }
    }
}

fn unescape(text: &[u8]) -> Result<String, Malformed> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b'c') => b':',
                Some(b'\\') => b'\\',
                _ => return Err(Malformed::Escape),
            },
            byte => byte,
        });
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Decodes a stream of frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the next frame begins in the buffer.
    start: usize,
    /// How far the buffer has been searched.
    searched: usize,
    /// The frame whose body is still arriving, and the length that its header states.
    head: Option<(Frame, Option<usize>)>,
}

impl Decoder {
    /// Adds bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.buffer.extend(bytes);
    }

    /// The next frame, if all of it has arrived.
    ///
    /// # Errors
    /// The stream is not STOMP; nothing after this can be decoded.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Malformed> {
        loop {
            if let Some((frame, length)) = self.head.take() {
                return self.finish(frame, length);
            }
            // Line ends between frames keep the connection alive.
            while matches!(self.buffer.get(self.start), Some(b'\n' | b'\r')) {
                self.start += 1;
                self.searched = self.start;
            }
            let Some(end) = self.head_end()? else { return Ok(None) };
            let head = self.buffer.get(self.start..end).unwrap_or_default();
            let frame = parse_head(head)?;
            let length = match frame.get("content-length") {
                Some(length) => Some(length.trim().parse().map_err(|_| Malformed::Length)?),
                None => None,
            };
            if length.is_some_and(|length: usize| length > MAX_BODY) {
                return Err(Malformed::TooLong("128 MiB for a body"));
            }
            self.start = end;
            self.searched = end;
            self.head = Some((frame, length));
        }
    }

    /// Where the headers of the frame end, behind the empty line.
    fn head_end(&mut self) -> Result<Option<usize>, Malformed> {
        let mut line = self.searched;
        loop {
            let Some(rest) = self.buffer.get(line..) else { return Ok(None) };
            let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
                self.searched = line;
                return if rest.len() > MAX_LINE { Err(Malformed::TooLong("64 KiB for a line")) } else { Ok(None) };
            };
            if length > MAX_LINE || line - self.start > MAX_LINE * 16 {
                return Err(Malformed::TooLong("64 KiB for a line"));
            }
            let text = rest.get(..length).unwrap_or_default();
            line += length + 1;
            if line - length - 1 > self.start && matches!(text, b"" | b"\r") {
                return Ok(Some(line));
            }
        }
    }

    /// The body of a frame whose headers are known.
    fn finish(&mut self, mut frame: Frame, length: Option<usize>) -> Result<Option<Frame>, Malformed> {
        let end = match length {
            Some(length) => match self.buffer.get(self.start + length) {
                Some(0) => self.start + length,
                Some(_) => return Err(Malformed::End),
                None => {
                    self.head = Some((frame, Some(length)));
                    return Ok(None);
                }
            },
            None => {
                let from = self.searched.max(self.start);
                let rest = self.buffer.get(from..).unwrap_or_default();
                match rest.iter().position(|byte| *byte == 0) {
                    Some(at) => from + at,
                    None if self.buffer.len() - self.start > MAX_BODY => {
                        return Err(Malformed::TooLong("128 MiB for a body"));
                    }
                    None => {
                        self.searched = self.buffer.len();
                        self.head = Some((frame, None));
                        return Ok(None);
                    }
                }
            }
        };
        frame.body = self.buffer.get(self.start..end).unwrap_or_default().to_vec();
        self.start = end + 1;
        self.searched = self.start;
        Ok(Some(frame))
    }
}

fn parse_head(head: &[u8]) -> Result<Frame, Malformed> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let command = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let is_plain = is_plain(&command);
    let mut headers = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let at = line.iter().position(|byte| *byte == b':').ok_or(Malformed::Header)?;
        let (name, value) = (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default());
        let read = |text: &[u8]| {
            if is_plain { Ok(String::from_utf8_lossy(text).into_owned()) } else { unescape(text) }
        };
        headers.push((read(name)?, read(value)?));
        if headers.len() > MAX_HEADERS {
            return Err(Malformed::TooLong("1,000 headers"));
        }
    }
    Ok(Frame { command, headers, body: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All frames of a stream that arrives in pieces of this length.
    fn decode(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, Malformed> {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            decoder.feed(piece);
            while let Some(frame) = decoder.next_frame()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_come_as_they_went_whatever_the_pieces() {
        let frames = [
            Frame::new("SEND").with("a:b", "x\ny\r\\z:").with("empty", "").with("é", "ü"),
            Frame { body: vec![0, 1, 0, 255, b'\n'], ..Frame::new("MESSAGE").with("k", "1").with("k", "2") },
            Frame::new("RECEIPT").with("receipt-id", "7"),
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| [frame.encode(), b"\n\r\n".to_vec()].concat()).collect();
        for piece in [1, 2, 3, 7, 1_000] {
            let decoded = decode(&bytes, piece).expect("frames");
            assert_eq!(decoded.len(), 3);
            for (decoded, frame) in decoded.iter().zip(&frames) {
                assert_eq!((&decoded.command, &decoded.body), (&frame.command, &frame.body));
                assert!(frame.headers.iter().all(|header| decoded.headers.contains(header)), "{decoded:?}");
            }
            assert_eq!(decoded[1].get("k"), Some("1"), "the first one counts");
        }
    }

    #[test]
    fn carriage_returns_and_bodies_without_a_length_are_read() {
        let frames = decode(b"\n\nERROR\r\nmessage:no\r\n\r\nwhy\0\nCONNECTED\nversion:1.2\nserver:a\\b:c\n\n\0", 5);
        let frames = frames.expect("frames");
        assert_eq!((frames[0].get("message"), frames[0].body.as_slice()), (Some("no"), b"why".as_slice()));
        assert_eq!(frames[1].get("server"), Some("a\\b:c"), "without escapes");
    }

    #[test]
    fn what_is_not_stomp_is_refused() {
        let long = [b"SEND\nx:".to_vec(), vec![b'x'; MAX_LINE + 1]].concat();
        let many = [b"SEND\n".to_vec(), b"a:b\n".repeat(MAX_HEADERS + 1), b"\n\0".to_vec()].concat();
        for (bytes, expected) in [
            (b"SEND\nx\n\n\0".as_slice(), Malformed::Header),
            (b"SEND\nx:\\t\n\n\0", Malformed::Escape),
            (b"SEND\nx:\\\n\n\0", Malformed::Escape),
            (b"SEND\ncontent-length:x\n\n\0", Malformed::Length),
            (b"SEND\ncontent-length:1\n\nab\0", Malformed::End),
            (b"SEND\ncontent-length:999999999999\n\n\0", Malformed::TooLong("128 MiB for a body")),
            (&long, Malformed::TooLong("64 KiB for a line")),
            (&many, Malformed::TooLong("1,000 headers")),
        ] {
            assert_eq!(decode(bytes, 4_096), Err(expected));
        }
    }
}
