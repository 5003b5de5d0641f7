//! Answers requests for metrics, which any child may receive and the parent answers for all.

use std::{io, sync::Arc, time::Duration};

use reactor::Parts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use wire::http::RequestHead;

use crate::gate::process_links::Inbox;
use crate::gate::{answers, process_links};
use crate::metrics;
use crate::processes::{child::Members, pages};

/// Requests that are answered at the same time, each with a descriptor of the parent. A scraper sends one every few
/// seconds.
const ANSWERED_MAX: usize = 64;

/// How long a child may take to send its page, and a client to read the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Answers the requests in `inbox`. Needs a tokio runtime.
pub(super) fn start(inbox: Inbox, members: Members) -> io::Result<()> {
    let answering = Arc::new(Semaphore::new(ANSWERED_MAX));
    let runtime = Handle::current();
    process_links::receive(inbox, move |forwarded| {
        // Too many requests: the connection is closed, and the client may retry. In the inbox it would block the senders.
        let Ok(place) = Arc::clone(&answering).try_acquire_owned() else {
            return;
        };
        let members = members.clone();
        runtime.spawn(async move {
            let answered = timeout(2 * ANSWER_WITHIN, answer(forwarded.parts, members)).await;
            if !matches!(answered, Ok(Ok(()))) {
                tracing::debug!("a request for metrics was not answered");
            }
            drop(place);
        });
    })
}

async fn answer(parts: Parts, members: Members) -> io::Result<()> {
    let page = page(&members).await;
    let mut answer = parts.output;
    let head = RequestHead::parse(&parts.input);
    let start = answer.len();
    answers::metrics(&mut answer, &page);
    if head.is_ok_and(|head| head.is_some_and(|head| head.method == "HEAD")) {
        answers::cut_body(&mut answer, start);
    }
    let mut stream = TcpStream::from_std(std::net::TcpStream::from(parts.fd))?;
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    // Closing with unread bytes would reset the connection before the client has read the answer.
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// The merged page of all children and the parent.
async fn page(members: &Members) -> String {
    let mut requests = JoinSet::new();
    let restarts = {
        let table = members.lock();
        for (process, member) in table.members.iter().enumerate() {
            let page_requests = member.page_requests.clone();
            requests.spawn(async move {
                let (request, page) = oneshot::channel();
                page_requests.send(request).await.ok()?;
                let page = timeout(ANSWER_WITHIN, page).await.ok()?.ok()?;
                Some((process, page))
            });
        }
        table.restarts
    };
    let mut answered_pages: Vec<_> = requests.join_all().await.into_iter().flatten().collect();
    answered_pages.sort_unstable_by_key(|(process, _)| *process);
    let named = answered_pages.into_iter().map(|(process, page)| (process.to_string(), page));
    let parent = ("parent".to_owned(), metrics::of_parent(restarts));
    pages::merge(&named.chain([parent]).collect::<Vec<_>>())
}
