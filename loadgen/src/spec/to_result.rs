//! A run as its result shows it: what was asked, without its secrets.

use std::time::Duration;

use reports::schema;
use url::Url;

use crate::ground::outcome::Phase;
use crate::spec::run::{RunSpec, ServerSpec};
use crate::spec::steps::Step;
use crate::spec::tokens::{TokenPlan, TokenSource};
use crate::spec::urls::{without_query, without_secrets};
use crate::spec::values::flag_name;

impl RunSpec {
    /// The settings of the run for the result; `tokens` are those that the started server accepts. The target's URL is absent for
    /// the embedded server, whose port was not asked.
    pub fn to_result(&self, tokens: &TokenPlan) -> schema::Scenario {
        let shown: Vec<String> = self.urls().iter().map(without_secrets).collect();
        let encrypted = |url: &Url| matches!(url.scheme(), "https" | "wss");
        let resumption = if self.load.tls.resumption { "on" } else { "off" };
        let of_tokens = of_tokens(tokens);
        schema::Scenario {
            target: (!shown.is_empty()).then(|| shown.join(", ")),
            targets: self.targets_to_result(),
            embedded: matches!(self.server, ServerSpec::Embedded { .. }),
            tls_resumption: self.urls().iter().any(encrypted).then(|| resumption.to_owned()),
            users: Some(tokens.users.len() as u64),
            token_per: of_tokens.token_per,
            token_source: of_tokens.token_source,
            token_alg: of_tokens.token_alg,
            token_url: of_tokens.token_url,
            login_url: of_tokens.login_url,
            login_method: of_tokens.login_method,
            steps: of_tokens.steps,
            token_ttl_s: match &self.server {
                ServerSpec::Embedded { plan, .. } => plan.token_ttl.map(|ttl| ttl.as_secs_f64()),
                ServerSpec::Named { .. } => of_tokens.token_ttl_s,
            },
            ..self.load.to_result()
        }
    }

    /// Empty where there is one target alone.
    pub fn targets_to_result(&self) -> Vec<schema::AskedTarget> {
        if self.urls().len() < 2 {
            return Vec::new();
        }
        let targets = self.load.targets.list().iter().zip(self.urls());
        let targets = targets.map(|(target, url)| schema::AskedTarget {
            name: target.name.clone(),
            url: without_secrets(url),
            weight: target.weight,
            path: without_query(&target.path),
        });
        targets.collect()
    }

    /// Empty for the embedded server.
    fn urls(&self) -> &[Url] {
        match &self.server {
            ServerSpec::Embedded { .. } => &[],
            ServerSpec::Named { urls, .. } => urls,
        }
    }
}

fn of_tokens(tokens: &TokenPlan) -> schema::Scenario {
    let shown = schema::Scenario { token_per: Some(flag_name(&tokens.per)), ..schema::Scenario::default() };
    match &tokens.source {
        TokenSource::Login(plan) => schema::Scenario {
            token_source: Some("login".to_owned()),
            login_url: plan.login_url.as_ref().map(without_secrets),
            login_method: Some(flag_name(&plan.method)),
            token_url: Some(without_secrets(&plan.token_url)),
            ..shown
        },
        TokenSource::Steps(steps) => {
            let login = steps.login.iter().map(|step| of_step(Phase::Login, step));
            let token = steps.token.iter().map(|step| of_step(Phase::Token, step));
            schema::Scenario {
                token_source: Some("login".to_owned()),
                login_url: steps.login.last().map(|step| step.shown_url.clone()),
                token_url: steps.token.last().map(|step| step.shown_url.clone()),
                steps: login.chain(token).collect(),
                ..shown
            }
        }
        TokenSource::Mint(plan) => schema::Scenario {
            token_source: Some("mint".to_owned()),
            token_alg: Some(format!("{:?}", plan.alg())),
            token_ttl_s: plan.ttl().as_ref().map(Duration::as_secs_f64),
            ..shown
        },
        TokenSource::File(_) => schema::Scenario { token_source: Some("file".to_owned()), token_per: None, ..shown },
    }
}

fn of_step(phase: Phase, step: &Step) -> schema::AskedStep {
    schema::AskedStep { phase, name: step.name.clone(), method: step.method.to_string(), url: step.shown_url.clone() }
}
