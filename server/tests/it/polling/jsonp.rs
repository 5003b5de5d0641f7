//! JSONP polling: the answers are scripts, the requests are forms.

use super::{
    super::{clients::exchange, servers::TestServer, tokens::valid_token},
    Answer, BAD_REQUEST, Poller, request,
};

#[tokio::test]
async fn jsonp_clients_poll_by_script_and_post_by_form() {
    let server = TestServer::start(&[]).await;
    let (mut poller, _) = Poller::open(server.gate, 3, &valid_token("ann")).await;
    poller.target.push_str("&j=7");
    let form = |payload: &str| format!("d={}", payload.replace(':', "%3A").replace('"', "%22"));

    poller.post(&form("8:42[\"a b\"]")).await.check(400, BAD_REQUEST, "its length is wrong");
    let (mut poller, opened) = Poller::open(server.gate, 3, &valid_token("ann")).await;
    assert!(opened.ends_with("2:40"), "{opened}");
    poller.target.push_str("&j=7");
    poller.post(&form("9:42[\"a+b\"]")).await.check(200, "ok", "a form");
    let answer = poller.get().await;
    answer.check(200, r#"___eio[7]("9:42[\"a b\"]");"#, "a script");
    assert!(answer.head.contains("Content-Type: text/javascript; charset=UTF-8"), "{answer:?}");

    // Binary messages are base64 in JSONP even for clients that read binary payloads.
    let sent = form("51:451-[\"b\",{\"_placeholder\":true,\"num\":0}]");
    let sent = sent.replace("51%3A", &format!("{}%3A", r#"451-["b",{"_placeholder":true,"num":0}]"#.len()));
    poller.post(&sent).await.check(200, "ok", "an event with an attachment");
    poller.post(&form("6:b4AQID")).await.check(200, "ok", "the attachment");
    let echoed = poller.get().await.body;
    assert!(echoed.ends_with(r#"6:b4AQID");"#), "{echoed}");

    poller.post("x=1").await.check(400, BAD_REQUEST, "no payload");
    poller.check_over("no payload").await;

    let alert = "/socket.io/?EIO=3&transport=polling&j=1%5Dalert(1)";
    let sent = request("GET", alert, "Connection: close\r\n", "");
    let answer = Answer::parse(&exchange(server.gate, sent.as_bytes()).await);
    answer.check(400, BAD_REQUEST, "an index that is not a number");
}
