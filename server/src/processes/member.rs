//! The talk between the parent and a child of a gate of several processes, over the child's standard input.
//!
//! ```text
//! parent: a bundle with the child's part and its descriptors
//! child:  ready
//! parent: metrics                            again and again
//! child:  "the page, as a string of JSON"
//! ```
//!
//! The end of the stream tells the child that its parent is gone: it drains then.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::net::{AddressFamily, sockopt};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::mpsc,
};

use crate::processes::scrape::Ask;
use crate::{descriptors, frontend::FrontendAddrs, gate::courier::Links, metrics::Metrics, tls::Seed};

const READY: &str = "ready";
const METRICS: &str = "metrics";

/// What a child is told. Its descriptors follow: the listeners, its inbox, the way to each process's, that to the parent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    /// Its number, from 0.
    pub(super) process: u16,
    /// How many there are.
    pub(super) processes: u16,
    /// How many listeners each of its shards has.
    pub(super) listeners: Vec<usize>,
    /// Where the parent's frontend is.
    pub(super) frontend: Option<FrontendAddrs>,
    /// What session tickets are made from, where TLS is spoken.
    pub(super) seed: Option<Seed>,
}

/// A child's part.
#[derive(Debug)]
pub struct Membership {
    /// The listeners of each shard.
    pub shards: Vec<Vec<TcpListener>>,
    /// What it knows of the other processes.
    pub links: Links,
    /// Where the parent's frontend is.
    pub frontend: Option<FrontendAddrs>,
    /// What session tickets are made from, where TLS is spoken.
    pub seed: Option<Seed>,
    /// The way to the parent.
    pub control: UnixStream,
}

impl Membership {
    /// Receives it from the parent, over standard input.
    pub fn receive() -> io::Result<Self> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        if sockopt::socket_domain(&stdin)? != AddressFamily::UNIX {
            return Err(io::Error::other("it is no Unix socket"));
        }
        let control = UnixStream::from(stdin);
        let (setup, given) = descriptors::receive_bundle::<Setup>(&control)?;
        let mut given = given.into_iter();
        let mut next = || given.next().ok_or(io::ErrorKind::UnexpectedEof);
        let mut shards = Vec::new();
        for count in setup.listeners {
            let listeners = (0..count).map(|_| Ok(TcpListener::from(next()?)));
            shards.push(listeners.collect::<io::Result<_>>()?);
        }
        let inbox = next()?.into();
        let outboxes = (0..setup.processes).map(|_| Ok(next()?));
        let outboxes = outboxes.collect::<io::Result<Vec<OwnedFd>>>()?;
        Ok(Self {
            shards,
            links: Links { process: setup.process, inbox, outboxes, parent: next()? },
            frontend: setup.frontend,
            seed: setup.seed,
            control,
        })
    }

    /// Where the gate listens.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.shards.first()?.first()?.local_addr().ok()
    }
}

/// The child's end of the talk.
pub struct Control {
    lines: Lines<BufReader<OwnedReadHalf>>,
    answers: OwnedWriteHalf,
}

impl Control {
    /// Takes the talk up. Needs a tokio runtime.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        let (lines, answers) = halves(stream)?;
        Ok(Self { lines, answers })
    }

    /// Says that the child is ready, and answers until the parent is gone.
    pub async fn hold(mut self, metrics: Metrics) {
        let mut answer = READY.to_owned();
        loop {
            answer.push('\n');
            if self.answers.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            match self.lines.next_line().await {
                Ok(Some(line)) if line == METRICS => {
                    answer = serde_json::Value::from(metrics.render()).to_string();
                }
                _ => return,
            }
        }
    }
}

/// The parent's end of the talk.
pub(super) struct Conversation {
    lines: Lines<BufReader<OwnedReadHalf>>,
    asking: OwnedWriteHalf,
    asks: mpsc::Receiver<Ask>,
}

impl Conversation {
    pub(super) fn new(stream: UnixStream, asks: mpsc::Receiver<Ask>) -> io::Result<Self> {
        let (lines, asking) = halves(stream)?;
        Ok(Self { lines, asking, asks })
    }

    /// Tells when the child is ready, and passes questions on until it is gone.
    pub(super) async fn hold(mut self, ready: impl FnOnce()) {
        match self.lines.next_line().await {
            Ok(Some(line)) if line == READY => ready(),
            _ => return,
        }
        while let Some(ask) = self.asks.recv().await {
            let Some(page) = self.ask().await else {
                return;
            };
            // Whoever asked may have gone.
            let _ = ask.send(page);
        }
        // The stream stays open as long as the child, which would end with it.
        let _ = self.lines.next_line().await;
    }

    async fn ask(&mut self) -> Option<String> {
        let line = format!("{METRICS}\n");
        self.asking.write_all(line.as_bytes()).await.ok()?;
        let answer = self.lines.next_line().await.ok()??;
        serde_json::from_str(&answer).ok()
    }
}

fn halves(stream: UnixStream) -> io::Result<(Lines<BufReader<OwnedReadHalf>>, OwnedWriteHalf)> {
    stream.set_nonblocking(true)?;
    let (read, write) = tokio::net::UnixStream::from_std(stream)?.into_split();
    Ok((BufReader::new(read).lines(), write))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_child_tells_its_metrics_until_its_parent_is_gone() {
        let (parents, childs) = UnixStream::pair().unwrap();
        let metrics = Metrics::new(1);
        metrics.shards()[0].connections_accepted.add(7);
        let child = tokio::spawn(Control::new(childs).unwrap().hold(metrics));
        let (asks, asked) = mpsc::channel(1);
        let (ready, is_ready) = oneshot::channel();
        let conversation = Conversation::new(parents, asked).unwrap();
        let parent = tokio::spawn(conversation.hold(|| ready.send(()).unwrap()));
        is_ready.await.unwrap();
        for _ in 0..2 {
            let (ask, page) = oneshot::channel();
            asks.send(ask).await.unwrap();
            let page = page.await.unwrap();
            assert!(page.contains("\ngatekeeper_connections_accepted_total 7\n"));
        }
        assert!(!child.is_finished());
        parent.abort();
        child.await.unwrap();
    }
}
