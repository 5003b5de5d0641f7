//! What was asked, as the result tells it: resolved, and without its secrets.

use std::time::Duration;

use reports::schema;
use url::Url;

use crate::arrival::Arrivals;
use crate::scenario::{
    Hold, Load, LoginMethod, Pin, Protocol, Scenario, TargetChoice, TokenIn, TokenPer, TokenSource,
};

/// The scenario of a result. `target` is where sockets were opened, known once an embedded server runs.
pub fn scenario(scenario: &Scenario, target: &Url) -> schema::Scenario {
    let echo = (scenario.echo.count > 0).then_some(&scenario.echo);
    let socketio = matches!(scenario.protocol, Protocol::SocketIo(_));
    schema::Scenario {
        target: Some(public(target)),
        embedded: matches!(scenario.target, TargetChoice::Embedded(_)),
        protocol: Some(if socketio { "socketio" } else { "websocket" }.to_owned()),
        eio: match scenario.protocol {
            Protocol::SocketIo(version) => Some(u32::from(version.number())),
            Protocol::WebSocket => None,
        },
        transport: socketio.then(|| "websocket".to_owned()),
        path: Some(scenario.path.split('?').next().unwrap_or_default().to_owned()),
        connections: scenario.connections,
        duration_s: scenario.duration.map(|duration| duration.as_secs_f64()),
        hold: Some(hold(scenario.hold)),
        echo: Some(u64::from(scenario.echo.count)),
        message_rate_per_s: echo.and_then(|echo| echo.rate_per_s),
        message_bytes: echo.map(|echo| echo.bytes as u64),
        message_event: echo.filter(|_| socketio).map(|echo| echo.event.clone()),
        timeout_s: Some(scenario.timeout.as_secs_f64()),
        connect_timeout_s: Some(scenario.connect_timeout.as_secs_f64()),
        auth_grace_s: (!socketio).then(|| scenario.auth_grace.as_secs_f64()),
        users: Some(scenario.users.len() as u64),
        token_in: Some(token_in(&scenario.token_in)),
        workers: Some(scenario.workers as u32),
        pin: Some(
            match scenario.pin {
                Pin::Auto => "auto",
                Pin::None => "none",
            }
            .to_owned(),
        ),
        seed: Some(scenario.seed),
        insecure: scenario.insecure,
        ..tokens(scenario, load(scenario.load))
    }
}

fn load(load: Load) -> schema::Scenario {
    match load {
        Load::Open {
            rate_per_s,
            arrivals,
        } => schema::Scenario {
            rate_per_s: Some(rate_per_s),
            arrivals: Some(
                match arrivals {
                    Arrivals::Uniform => "uniform",
                    Arrivals::Poisson => "poisson",
                }
                .to_owned(),
            ),
            ..schema::Scenario::default()
        },
        Load::Closed { concurrency } => schema::Scenario {
            concurrency: Some(u64::from(concurrency)),
            ..schema::Scenario::default()
        },
    }
}

fn tokens(scenario: &Scenario, mut asked: schema::Scenario) -> schema::Scenario {
    asked.token_per = Some(
        match scenario.tokens.per {
            TokenPer::Connection => "connection",
            TokenPer::User => "user",
        }
        .to_owned(),
    );
    let embedded_ttl = match &scenario.target {
        TargetChoice::Embedded(plan) => plan.token_ttl,
        TargetChoice::Url(_) => None,
    };
    let (source, ttl) = match &scenario.tokens.source {
        TokenSource::Login(plan) => {
            asked.login_url = plan.login_url.as_ref().map(public);
            asked.token_url = Some(public(&plan.token_url));
            asked.login_method = plan.login_url.is_some().then(|| method(plan.method).to_owned());
            ("login", embedded_ttl)
        }
        TokenSource::EmbeddedLogin => ("login", embedded_ttl),
        TokenSource::Mint(plan) => {
            asked.token_alg = Some(format!("{:?}", plan.algorithm()));
            ("mint", plan.ttl())
        }
        TokenSource::File(_) => ("file", None),
    };
    asked.token_source = Some(source.to_owned());
    asked.token_ttl_s = ttl.as_ref().map(Duration::as_secs_f64);
    asked
}

fn method(method: LoginMethod) -> &'static str {
    match method {
        LoginMethod::Basic => "basic",
        LoginMethod::Form => "form",
        LoginMethod::Json => "json",
    }
}

fn hold(hold: Hold) -> String {
    match hold {
        Hold::For(time) => format!("{}s", time.as_secs_f64()),
        Hold::UntilEnd => "end".to_owned(),
    }
}

fn token_in(token_in: &TokenIn) -> String {
    match token_in {
        TokenIn::Query(name) => format!("query:{name}"),
        TokenIn::Header => "header".to_owned(),
        TokenIn::Subprotocol => "subprotocol".to_owned(),
        TokenIn::Cookie(name) => format!("cookie:{name}"),
        TokenIn::Auth(name) => format!("auth:{name}"),
    }
}

/// A URL without what may be secret in it: credentials, query, fragment.
fn public(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for URLs without a host, which hold no credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_secrets() {
        for (url, shown, why) in [
            ("http://a:b@host:1/p", "http://host:1/p", "credentials"),
            ("http://host/p?token=x", "http://host/p", "a token in the query"),
            ("wss://host/#x", "wss://host/", "a fragment"),
        ] {
            assert_eq!(public(&Url::parse(url).unwrap()), shown, "{why}");
        }
    }
}
