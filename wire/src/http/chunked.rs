//! Bodies in chunks (RFC 9112 section 7.1): where such a body ends, and its content.

use crate::error::ChunkError;

/// The longest line in front of a chunk, its extensions included, and the longest of a trailer. Extensions have no use
/// that is known; trailers have few.
const LINE_BYTES_MAX: usize = 256;

/// The most bytes of all trailers together.
const TRAILER_BYTES_MAX: usize = 4 * 1024;

/// The most bytes that the framing adds to a body of the longest: lines, and chunks of a byte each for a while.
const FRAMING_BYTES_MAX: usize = 32 * 1024;

/// More hexadecimal digits than the length of any chunk that is taken.
const LENGTH_DIGITS_MAX: usize = 8;

/// Finds the end of a body that comes piece by piece. Each byte is looked at once, but for a line that is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunked {
    /// The most bytes that the body may have, without its framing.
    body_bytes_max: usize,
    /// The body so far, without its framing; includes chunks that are announced and still coming.
    body_bytes: usize,
    /// Where the next line begins, in the body as it is sent.
    line_at: usize,
    /// Where the trailers begin, once the last chunk is here.
    trailers_at: Option<usize>,
}

impl Chunked {
    /// A body of which nothing is known yet, refused above `body_bytes_max`.
    pub fn new(body_bytes_max: usize) -> Self {
        Self { body_bytes_max, body_bytes: 0, line_at: 0, trailers_at: None }
    }

    /// Looks on in `sent`, which is the body from its first byte on, as far as it is here: longer than the last time.
    /// `Ok(None)`: more bytes are needed. Else how many of them the body took, trailers and all.
    pub fn end(&mut self, sent: &[u8]) -> Result<Option<usize>, ChunkError> {
        loop {
            let Some(line) = line(sent, self.line_at)? else {
                return self.wait(sent);
            };
            // Its line's end comes with it.
            let after_line = self.line_at + line.len() + 2;
            match self.trailers_at {
                Some(_) if line.is_empty() => return Ok(Some(after_line)),
                Some(from) if after_line - from > TRAILER_BYTES_MAX => {
                    return Err(ChunkError::Malformed("the trailers are too long"));
                }
                Some(_) => self.line_at = after_line,
                None => {
                    let chunk_bytes = chunk_bytes(line)?;
                    self.body_bytes = self.body_bytes.saturating_add(chunk_bytes);
                    if self.body_bytes > self.body_bytes_max {
                        return Err(ChunkError::TooLong);
                    }
                    if chunk_bytes == 0 {
                        self.trailers_at = Some(after_line);
                        self.line_at = after_line;
                        continue;
                    }
                    let chunk_end = after_line + chunk_bytes;
                    match sent.get(chunk_end..chunk_end + 2) {
                        Some(b"\r\n") => self.line_at = chunk_end + 2,
                        Some(_) => {
                            return Err(ChunkError::Malformed("a chunk is longer than its length"));
                        }
                        None => {
                            // Looked at anew when more is here.
                            self.body_bytes -= chunk_bytes;
                            return self.wait(sent);
                        }
                    }
                }
            }
        }
    }

    fn wait(&self, sent: &[u8]) -> Result<Option<usize>, ChunkError> {
        if sent.len() > self.body_bytes_max + FRAMING_BYTES_MAX {
            return Err(ChunkError::TooLong);
        }
        Ok(None)
    }

    /// The body that `sent` carries, which [`Chunked::end`] has found the end of; what is no such thing comes out cut.
    pub fn decode(sent: &[u8]) -> Vec<u8> {
        let (mut body, mut at) = (Vec::new(), 0);
        while let Ok(Some(line)) = line(sent, at)
            && let Ok(bytes @ 1..) = chunk_bytes(line)
        {
            let start = at + line.len() + 2;
            let Some(chunk) = sent.get(start..start + bytes) else {
                break;
            };
            body.extend_from_slice(chunk);
            at = start + bytes + 2;
        }
        body
    }
}

/// The line at `at`, without its end; `None` while that is still to come.
fn line(sent: &[u8], at: usize) -> Result<Option<&[u8]>, ChunkError> {
    let rest = sent.get(at..).unwrap_or_default();
    let window = &rest[..rest.len().min(LINE_BYTES_MAX)];
    match window.iter().position(|&byte| byte == b'\n') {
        Some(end) => match window[..end].strip_suffix(b"\r") {
            Some(line) => Ok(Some(line)),
            // Section 2.2 allows a recipient to take that for a line's end; request smuggling depends on it.
            None => Err(ChunkError::Malformed("a bare line feed")),
        },
        None if window.len() == LINE_BYTES_MAX => Err(ChunkError::Malformed("a line between chunks is too long")),
        None => Ok(None),
    }
}

/// The length in front of a chunk, whose extensions have no meaning here.
fn chunk_bytes(line: &[u8]) -> Result<usize, ChunkError> {
    let end = line.iter().position(|byte| matches!(byte, b';' | b' ' | b'\t'));
    let digits = &line[..end.unwrap_or(line.len())];
    if !(1..=LENGTH_DIGITS_MAX).contains(&digits.len()) {
        return Err(ChunkError::Malformed("a chunk's length"));
    }
    digits.iter().try_fold(0, |bytes, &digit| {
        let digit = char::from(digit).to_digit(16);
        let digit = digit.ok_or(ChunkError::Malformed("a chunk's length"))?;
        Ok(bytes << 4 | digit as usize)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY_BYTES_MAX: usize = 1_000;

    fn check(sent: &[u8], expected: Result<Option<usize>, ChunkError>, body: &[u8], why: &str) {
        assert_eq!(Chunked::new(BODY_BYTES_MAX).end(sent), expected, "{why}");
        let mut bytewise = Chunked::new(BODY_BYTES_MAX);
        for here in 0..=sent.len() {
            let found = bytewise.end(&sent[..here]);
            match &expected {
                Ok(Some(end)) if here >= *end => assert_eq!(found, expected, "{why}, {here}"),
                Err(_) if found.is_err() => {
                    assert_eq!(found, expected, "{why}, {here}");
                    break;
                }
                _ => assert_eq!(found, Ok(None), "{why}, {here}"),
            }
        }
        assert_eq!(Chunked::decode(sent), body, "{why}");
    }

    #[test]
    fn chunks_are_put_together() {
        let malformed = |what| Err(ChunkError::Malformed(what));
        let line = "a line between chunks is too long";
        for (sent, expected, body, why) in [
            (&b"0\r\n\r\n"[..], Ok(Some(5)), &b""[..], "nothing"),
            (b"3\r\nabc\r\n0\r\n\r\nGET", Ok(Some(13)), b"abc", "one"),
            (b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", Ok(Some(18)), b"abc", "two"),
            (b"00A\r\n0123456789\r\n0\r\n\r\n", Ok(Some(22)), b"0123456789", "hexadecimal, padded"),
            (b"1;a=\"b\"\r\nx\r\n0\r\n\r\n", Ok(Some(17)), b"x", "an extension"),
            (b"0\r\nA: b\r\n\r\n", Ok(Some(11)), b"", "a trailer"),
            (b"2\r\n\r\n\r\n0\r\n\r\n", Ok(Some(12)), b"\r\n", "a chunk that looks like a line's end"),
            (b"3\r\nabc\r\n0\r\n", Ok(None), b"abc", "the end is missing"),
            (b"3\r\nab", Ok(None), b"", "half a chunk"),
            (b"3\r\nabcd\r\n", malformed("a chunk is longer than its length"), b"abc", "a lie"),
            (b"x\r\n", malformed("a chunk's length"), b"", "no number"),
            (b"-1\r\n", malformed("a chunk's length"), b"", "below nothing"),
            (b"0x1\r\n", malformed("a chunk's length"), b"", "another notation"),
            (b"\r\n", malformed("a chunk's length"), b"", "no length"),
            (b"fffffffff\r\n", malformed("a chunk's length"), b"", "too many digits"),
            (b"ffffffff\r\n", Err(ChunkError::TooLong), b"", "4 GB"),
            (b"3e9\r\n", Err(ChunkError::TooLong), b"", "one byte above the limit"),
            (b"1\na\n0\n\n", malformed("a bare line feed"), b"", "smuggling"),
            (&[b'1'; LINE_BYTES_MAX], malformed(line), b"", "a line without end"),
        ] {
            check(sent, expected, body, why);
        }
        let trailers = [&b"0\r\n"[..], &b"a: b\r\n".repeat(1_000)].concat();
        check(&trailers, malformed("the trailers are too long"), b"", "trailers");
        let framing = b"1\r\na\r\n".repeat(FRAMING_BYTES_MAX / 5);
        assert_eq!(
            Chunked::new(FRAMING_BYTES_MAX / 8).end(&framing),
            Err(ChunkError::TooLong),
            "more framing than body"
        );
    }

    proptest! {
        #[test]
        fn written_chunks_are_read_back(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..10),
            after in any::<Vec<u8>>(),
        ) {
            let mut sent = Vec::new();
            for chunk in &chunks {
                sent.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                sent.extend_from_slice(chunk);
                sent.extend_from_slice(b"\r\n");
            }
            sent.extend_from_slice(b"0\r\n\r\n");
            let end = sent.len();
            sent.extend(after);
            prop_assert_eq!(Chunked::new(BODY_BYTES_MAX).end(&sent), Ok(Some(end)));
            prop_assert_eq!(Chunked::decode(&sent), chunks.concat());
        }

        #[test]
        fn any_bytes_give_a_result(sent in prop_oneof![
            any::<Vec<u8>>(),
            "[0-9a-f;\r\n]{0,40}".prop_map(String::into_bytes),
        ]) {
            let _ = Chunked::new(BODY_BYTES_MAX).end(&sent);
            let _ = Chunked::decode(&sent);
        }
    }
}
