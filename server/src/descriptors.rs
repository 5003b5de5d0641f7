//! Sends descriptors to another process over a Unix socket (unix(7), SCM_RIGHTS).

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};

/// Descriptors in one message, below the kernel's limit of 253 (SCM_MAX_FD).
const PER_MESSAGE_MAX: usize = 64;

/// The longest text of a [bundle](send_bundle), which has a few numbers and addresses.
const TEXT_BYTES_MAX: u32 = 64 * 1024;

/// Sends one message of `parts` with at most 64 descriptors; returns how many bytes the socket took.
pub fn send(
    socket: impl AsFd,
    parts: &[IoSlice<'_>],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PER_MESSAGE_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = flags | SendFlags::NOSIGNAL;
    Ok(sendmsg(socket, parts, &mut control, flags)?)
}

/// Receives one message into `bytes` and appends its descriptors to `descriptors`; returns how many bytes the message has,
/// 0 at the end of the stream. A message that is longer than `bytes` is an error.
pub fn receive(socket: impl AsFd, bytes: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PER_MESSAGE_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(bytes)];
    let received = loop {
        match recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(received.bytes)
}

/// Sends a bundle: a message as JSON, and any number of descriptors.
pub fn send_bundle(
    mut socket: &UnixStream,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let counts = [text.len(), descriptors.len()].map(|count| u32::try_from(count).ok());
    let [Some(text_bytes), Some(count)] = counts else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    socket.write_all(&text_bytes.to_le_bytes())?;
    socket.write_all(&count.to_le_bytes())?;
    socket.write_all(&text)?;
    for some in descriptors.chunks(PER_MESSAGE_MAX) {
        // A message with descriptors needs at least one byte.
        send(socket, &[IoSlice::new(b"d")], some, SendFlags::empty())?;
    }
    Ok(())
}

/// Receives a bundle that [`send_bundle`] has sent.
pub fn receive_bundle<M: DeserializeOwned>(mut socket: &UnixStream) -> io::Result<(M, Vec<OwnedFd>)> {
    let mut number = || {
        let mut bytes = [0; size_of::<u32>()];
        socket.read_exact(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    };
    let (text_bytes, count) = (number()?, number()? as usize);
    if text_bytes > TEXT_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; text_bytes as usize];
    socket.read_exact(&mut text)?;
    let message = serde_json::from_slice(&text)?;
    let mut descriptors = Vec::new();
    while descriptors.len() < count {
        if receive(socket, &mut [0], &mut descriptors)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((message, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, io::Seek};

    #[test]
    fn bundle_is_received_as_it_was_sent() {
        let (here, there) = UnixStream::pair().unwrap();
        for count in [0, 1, PER_MESSAGE_MAX, PER_MESSAGE_MAX + 1] {
            let files: Vec<File> = (0..count).map(numbered).collect();
            let descriptors: Vec<_> = files.iter().map(AsFd::as_fd).collect();
            send_bundle(&here, &format!("{count} files"), &descriptors).unwrap();
            drop(files);
            let (text, received): (String, _) = receive_bundle(&there).unwrap();
            assert_eq!(text, format!("{count} files"));
            assert_eq!(received.len(), count);
            for (number, descriptor) in received.into_iter().enumerate() {
                let mut text = String::new();
                File::from(descriptor).read_to_string(&mut text).unwrap();
                assert_eq!(text, number.to_string(), "the order of the descriptors");
            }
        }
    }

    /// A file that contains its number.
    fn numbered(number: usize) -> File {
        let mut file = tempfile::tempfile().unwrap();
        write!(file, "{number}").unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn invalid_bundle_is_an_error() {
        for (bytes, kind, why) in [
            (&b""[..], io::ErrorKind::UnexpectedEof, "no bytes"),
            (b"\xff\xff\xff\xff\0\0\0\0", io::ErrorKind::InvalidData, "a length above the limit"),
            (b"\x02\0\0\0\x01\0\0\0\"\"", io::ErrorKind::UnexpectedEof, "a missing descriptor"),
        ] {
            let (mut here, there) = UnixStream::pair().unwrap();
            here.write_all(bytes).unwrap();
            drop(here);
            let error = receive_bundle::<String>(&there).unwrap_err();
            assert_eq!(error.kind(), kind, "{why}");
        }
    }
}
