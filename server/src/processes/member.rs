//! The protocol between the parent and a child of a gate of several processes, over the child's standard input.
//!
//! ```text
//! parent: a bundle with the child's setup and its descriptors
//! child:  ready
//! parent: metrics                            any number of times
//! child:  "the page, as a string of JSON"
//! ```
//!
//! At the end of the stream the parent has ended, and the child drains.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{AddressFamily, sockopt};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use crate::{descriptors, frontend::FrontendAddrs, gate::process_links::ProcessLinks, metrics::Metrics, tls::Seed};

const READY: &str = "ready";
const METRICS: &str = "metrics";

/// A request to a child for its page of metrics.
pub(super) type PageRequest = oneshot::Sender<String>;

/// A child's setup. Its descriptors follow: the listeners, its inbox, the link to each process, the link to the parent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    /// The child's number, from 0.
    pub(super) process: u16,
    /// The number of processes.
    pub(super) processes: u16,
    /// The number of listeners of each shard.
    pub(super) listeners: Vec<usize>,
    /// The addresses of the parent's frontend.
    pub(super) frontend: Option<FrontendAddrs>,
    /// The seed of session tickets, with TLS.
    pub(super) seed: Option<Seed>,
}

/// A child's setup with its descriptors.
#[derive(Debug)]
pub struct Membership {
    /// The listeners of each shard.
    pub shards: Vec<Vec<TcpListener>>,
    pub links: ProcessLinks,
    /// The addresses of the parent's frontend.
    pub frontend: Option<FrontendAddrs>,
    /// The seed of session tickets, with TLS.
    pub seed: Option<Seed>,
    /// The stream to the parent.
    pub control: UnixStream,
}

impl Membership {
    /// Receives the setup from the parent over standard input.
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
            links: ProcessLinks { process: setup.process, inbox, outboxes, parent: next()? },
            frontend: setup.frontend,
            seed: setup.seed,
            control,
        })
    }

    /// The address that the gate listens on.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.shards.first()?.first()?.local_addr().ok()
    }
}

/// The child's end of the protocol.
pub struct ParentLink {
    lines: Lines<BufReader<OwnedReadHalf>>,
    answers: OwnedWriteHalf,
}

impl ParentLink {
    /// Needs a tokio runtime.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        let (lines, answers) = halves(stream)?;
        Ok(Self { lines, answers })
    }

    /// Reports that the child is ready, and answers requests until the parent has ended.
    pub async fn run(mut self, metrics: Metrics) {
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

/// The parent's end of the protocol.
pub(super) struct ChildLink {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
    page_requests: mpsc::Receiver<PageRequest>,
}

impl ChildLink {
    pub(super) fn new(stream: UnixStream, page_requests: mpsc::Receiver<PageRequest>) -> io::Result<Self> {
        let (lines, writer) = halves(stream)?;
        Ok(Self { lines, writer, page_requests })
    }

    /// Calls `ready` when the child is ready, and forwards page requests until the child has ended.
    pub(super) async fn run(mut self, ready: impl FnOnce()) {
        match self.lines.next_line().await {
            Ok(Some(line)) if line == READY => ready(),
            _ => return,
        }
        while let Some(request) = self.page_requests.recv().await {
            let Some(page) = self.request_page().await else {
                return;
            };
            // The requester may have stopped waiting.
            let _ = request.send(page);
        }
        // The stream must stay open, because the child would drain at its end.
        let _ = self.lines.next_line().await;
    }

    async fn request_page(&mut self) -> Option<String> {
        let line = format!("{METRICS}\n");
        self.writer.write_all(line.as_bytes()).await.ok()?;
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

    #[tokio::test]
    async fn child_reports_its_metrics_until_its_parent_ends() {
        let (parents, childs) = UnixStream::pair().unwrap();
        let metrics = Metrics::new(1);
        metrics.shards()[0].connections_accepted.add(7);
        let child = tokio::spawn(ParentLink::new(childs).unwrap().run(metrics));
        let (page_requests, requests) = mpsc::channel(1);
        let (ready, is_ready) = oneshot::channel();
        let link = ChildLink::new(parents, requests).unwrap();
        let parent = tokio::spawn(link.run(|| ready.send(()).unwrap()));
        is_ready.await.unwrap();
        for _ in 0..2 {
            let (request, page) = oneshot::channel();
            page_requests.send(request).await.unwrap();
            let page = page.await.unwrap();
            assert!(page.contains("\ngatekeeper_connections_accepted_total 7\n"));
        }
        assert!(!child.is_finished());
        parent.abort();
        child.await.unwrap();
    }
}
