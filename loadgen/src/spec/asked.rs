//! A scenario as its result shows it: what was asked, without its secrets.

use std::time::Duration;

use reports::schema;
use url::Url;

use crate::ground::outcome::Phase;
use crate::spec::{Load, Pin, Protocol, Refresh, Scenario, Step, TargetChoice, TokenPer, TokenSource};

impl Scenario {
    /// What was asked, for the result. The target's URL is absent for the embedded server, whose port was not asked.
    pub fn asked(&self) -> schema::Scenario {
        let (rate_per_s, arrivals, concurrency) = match &self.load {
            Load::Open { rate_per_s, arrivals } => (Some(*rate_per_s), Some(arrivals.as_str().to_owned()), None),
            Load::Staged { profile, arrivals } => {
                let mean_per_s = profile.arrivals() / profile.time().as_secs_f64();
                let shape = format!("{} in stages {profile}", arrivals.as_str());
                (Some(mean_per_s), Some(shape), None)
            }
            Load::Listed(_) => (None, Some("listed in a file".to_owned()), None),
            Load::Closed { concurrency } => (None, None, Some(u64::from(*concurrency))),
        };
        let socket_io = match self.protocol {
            Protocol::WebSocket => None,
            Protocol::SocketIo(version) => Some(version),
        };
        let echoes = self.echo.count > 0;
        schema::Scenario {
            target: match &self.target {
                TargetChoice::Embedded(_) => None,
                TargetChoice::Url(url) => Some(without_secrets(url)),
                TargetChoice::Several(targets) => {
                    let urls = targets.list().iter();
                    let urls: Vec<String> = urls.map(|one| without_secrets(&one.url)).collect();
                    Some(urls.join(", "))
                }
            },
            targets: self.asked_of_targets(),
            embedded: matches!(self.target, TargetChoice::Embedded(_)),
            protocol: Some(if socket_io.is_some() { "socketio" } else { "websocket" }.to_owned()),
            eio: socket_io.map(|version| u32::from(version.number())),
            transport: socket_io.map(|_| self.transport.as_str().to_owned()),
            namespace: socket_io.map(|_| self.namespace.clone()).filter(|name| name != "/"),
            path: Some(without_query(&self.path)),
            connections: self.connections,
            rate_per_s,
            arrivals,
            concurrency,
            duration_s: self.duration.map(|time| time.as_secs_f64()),
            warmup_s: (!self.warmup.is_zero()).then_some(self.warmup.as_secs_f64()),
            hold: Some(self.hold.to_string()),
            close: Some(self.close.as_str().to_owned()),
            echo: Some(u64::from(self.echo.count)),
            message_rate_per_s: self.echo.rate_per_s.filter(|_| echoes),
            message_bytes: echoes.then_some(self.echo.bytes as u64),
            answered_by: echoes.then(|| self.echo.answered_by.as_str().to_owned()),
            message_event: (echoes && socket_io.is_some()).then(|| self.echo.event.clone()),
            timeout_s: Some(self.timeout.as_secs_f64()),
            connect_timeout_s: Some(self.connect_timeout.as_secs_f64()),
            auth_grace_s: socket_io.is_none().then_some(self.auth_grace.as_secs_f64()),
            users: Some(self.users.len() as u64),
            token_in: Some(self.token_in.to_string()),
            mix: self.mix.weights().iter().copied().collect(),
            expect: self.mix.unusual().collect(),
            source_ip: (!self.source_ips.is_empty()).then(|| self.source_ips.to_string()),
            processes: u32::try_from(self.processes).ok(),
            workers: u32::try_from(self.workers).ok(),
            pin: Some(match self.pin {
                Pin::Auto => "auto".to_owned(),
                Pin::None => "none".to_owned(),
            }),
            seed: Some(self.seed),
            insecure: self.tls.insecure,
            cacert: self.tls.cacert.as_ref().map(|path| path.display().to_string()),
            tls_resumption: self.is_encrypted().then(|| {
                let resumption = if self.tls.resumption { "on" } else { "off" };
                resumption.to_owned()
            }),
            ..self.asked_of_tokens()
        }
    }

    fn is_encrypted(&self) -> bool {
        let encrypted = |url: &Url| matches!(url.scheme(), "https" | "wss");
        match &self.target {
            TargetChoice::Embedded(_) => false,
            TargetChoice::Url(url) => encrypted(url),
            TargetChoice::Several(targets) => targets.list().iter().any(|one| encrypted(&one.url)),
        }
    }

    /// Empty where there is one target alone.
    pub(crate) fn asked_of_targets(&self) -> Vec<schema::AskedTarget> {
        let TargetChoice::Several(targets) = &self.target else {
            return Vec::new();
        };
        let asked = targets.list().iter().map(|target| schema::AskedTarget {
            name: target.name.clone(),
            url: without_secrets(&target.url),
            weight: target.weight,
            path: without_query(&target.path),
        });
        asked.collect()
    }

    fn asked_of_tokens(&self) -> schema::Scenario {
        let per = match self.tokens.per {
            TokenPer::Connection => "connection",
            TokenPer::User => "user",
        };
        let ttl_s = |ttl: Option<Duration>| ttl.map(|ttl| ttl.as_secs_f64());
        let mut asked = schema::Scenario {
            token_per: Some(per.to_owned()),
            refresh: Some(self.tokens.refresh)
                .filter(|refresh| *refresh != Refresh::Never)
                .map(|refresh| refresh.to_string()),
            close_at_exp_s: ttl_s(self.tokens.close_at_exp),
            ..schema::Scenario::default()
        };
        match &self.tokens.source {
            TokenSource::Login(plan) => {
                asked.token_source = Some("login".to_owned());
                asked.login_url = plan.login_url.as_ref().map(without_secrets);
                asked.login_method = Some(plan.method.as_str().to_owned());
                asked.token_url = Some(without_secrets(&plan.token_url));
            }
            TokenSource::Steps(steps) => {
                asked.token_source = Some("login".to_owned());
                asked.login_url = steps.login.last().map(|step| step.shown_url.clone());
                asked.token_url = steps.token.last().map(|step| step.shown_url.clone());
                let login = steps.login.iter().map(|step| asked_step(Phase::Login, step));
                let token = steps.token.iter().map(|step| asked_step(Phase::Token, step));
                asked.steps = login.chain(token).collect();
            }
            TokenSource::EmbeddedLogin => asked.token_source = Some("login".to_owned()),
            TokenSource::Mint(plan) => {
                asked.token_source = Some("mint".to_owned());
                asked.token_alg = Some(format!("{:?}", plan.alg()));
                asked.token_ttl_s = ttl_s(plan.ttl());
            }
            TokenSource::Given => {}
            TokenSource::File(_) => {
                asked.token_source = Some("file".to_owned());
                asked.token_per = None;
            }
        }
        if let TargetChoice::Embedded(plan) = &self.target {
            asked.token_ttl_s = ttl_s(plan.token_ttl);
        }
        asked
    }
}

fn asked_step(phase: Phase, step: &Step) -> schema::AskedStep {
    schema::AskedStep { phase, name: step.name.clone(), method: step.method.to_string(), url: step.shown_url.clone() }
}

/// A path whose query, which may be secret, is left out.
fn without_query(path: &str) -> String {
    path.split('?').next().unwrap_or_default().to_owned()
}

/// A URL whose query and credentials, which may be secret, are left out.
pub(in crate::spec) fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Both fail only for URLs that cannot hold credentials.
    let _none_to_remove = url.set_password(None);
    let _none_to_remove = url.set_username("");
    url.to_string()
}
