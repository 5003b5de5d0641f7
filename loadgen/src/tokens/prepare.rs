//! Before T0: users log in, tokens are made where that is possible, and the queue of token requests opens.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::ground::outcome::{Failure, FailureKind, Outcome, Phase, TokenKind};
use crate::ground::recorder::Recorder;
use crate::ground::time::UnixInstant;
use crate::ground::values::{InputError, Token};
use crate::spec::{LoadSpec, MintPlan, Refresh, Steps, TokenPer, TokenPlan, TokenSource, User, Variables};
use crate::tokens::error::TokenError;
use crate::tokens::invalid::{INVALID_USERS_MAX, InvalidTokens};
use crate::tokens::kept::Kept;
use crate::tokens::login::{LoginError, LoginService, Session, Tally, Timeouts, is_sendable};
use crate::tokens::requests::{Requests, Service};
use crate::tokens::supply::{Prepared, Supply};
use crate::tokens::ticket::{Answer, Ticket};

/// Concurrent logins before T0: password hashes are expensive, and this many keep the server's cores busy.
pub const LOGINS_AT_ONCE: usize = 16;
/// Concurrent token requests during the run; further tickets wait.
pub const TOKENS_AT_ONCE: usize = 256;
/// A file of tokens that is larger than this holds something else.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Logs all users in and makes the tokens that are needed before T0. Tasks of the current runtime make the tokens of the
/// run until every [`Requests`] is dropped.
///
/// # Errors
///
/// A login, a token request, a key or a file fails, so that no arrival can have a token.
pub async fn prepare(load: &LoadSpec, plan: &TokenPlan) -> Result<Prepared, TokenError> {
    // Invalid tokens are made from real ones.
    let real_max = if InvalidTokens::need_real(&load.mix) { INVALID_USERS_MAX } else { 0 };
    let mut trial = Trial { recorder: Recorder::new(), real: Vec::new(), real_max };
    let mut steps = None;
    let supply = match &plan.source {
        TokenSource::File(path) => Supply::Ready(read_tokens(path)?),
        TokenSource::Mint(mint) => minted(load, plan, mint, &mut trial)?,
        TokenSource::Login(login) => log_in(load, plan, Steps::from(login), &mut trial).await?.0,
        TokenSource::Steps(named) => {
            let (supply, tally) = log_in(load, plan, Steps::clone(named), &mut trial).await?;
            steps = tally;
            supply
        }
    };
    let Trial { recorder, mut real, real_max } = trial;
    match &supply {
        Supply::Ready(tokens) => real.extend(tokens.iter().take(real_max).cloned()),
        Supply::Kept(kept, _) => {
            let users = plan.users.len().min(real_max) as u64;
            real.extend((0..users).filter_map(|number| kept.unexpired(number, UnixInstant::default())));
        }
        Supply::OnDemand(_) => {}
    }
    let invalid = InvalidTokens::make(&load.mix, &real, &plan.key, SystemTime::now())?;
    Ok(Prepared { supply, invalid, recorder, steps })
}

/// What the preparation gives beside the supply.
struct Trial {
    /// The durations of logins and token requests.
    recorder: Recorder,
    /// Real tokens from which invalid ones are made.
    real: Vec<Token>,
    /// The number of real tokens that is needed.
    real_max: usize,
}

fn minted(load: &LoadSpec, plan: &TokenPlan, mint: &MintPlan, trial: &mut Trial) -> Result<Supply, TokenError> {
    let token = |user: &User| mint.token(&user.claims(), SystemTime::now());
    let maker = Maker::Mint(mint.clone(), plan.users.iter().map(User::claims).collect());
    match plan.per {
        TokenPer::User => {
            let tokens = plan.users.iter().map(token).collect::<Result<_, _>>()?;
            Ok(keep(load, tokens, maker))
        }
        TokenPer::Connection => {
            for user in plan.users.iter().take(trial.real_max) {
                trial.real.push(token(user)?);
            }
            Ok(open_requests(load.shards(), maker))
        }
    }
}

/// Logs all users in and opens what gives their tokens.
async fn log_in(
    load: &LoadSpec,
    plan: &TokenPlan,
    steps: Steps,
    trial: &mut Trial,
) -> Result<(Supply, Option<Arc<Tally>>), TokenError> {
    let timeouts = Timeouts { connect: load.connect_timeout, whole: load.timeout };
    let service = Arc::new(LoginService::new(steps, timeouts, &load.tls)?);
    let tally = service.tally();
    let sessions = log_in_all(&service, &plan.users, &mut trial.recorder).await?;
    let supply = match plan.per {
        TokenPer::User => {
            let tokens = token_of_each(&service, &sessions, &mut trial.recorder).await?;
            keep(load, tokens, Maker::Login(service, sessions))
        }
        TokenPer::Connection => {
            // One trial token, which no arrival uses: an endpoint without tokens is an error before the run.
            for session in sessions.iter().take(trial.real_max.max(1)) {
                trial.real.push(service.token(session).await.0?);
            }
            open_requests(load.shards(), Maker::Login(service, sessions))
        }
    };
    Ok((supply, tally))
}

async fn log_in_all(
    service: &Arc<LoginService>,
    users: &[User],
    recorder: &mut Recorder,
) -> Result<Vec<Arc<Session>>, TokenError> {
    let logins = users.iter().map(|user| {
        let (service, user) = (service.clone(), user.clone());
        async move { service.login(&user).await }
    });
    let mut sessions = Vec::with_capacity(users.len());
    for (session, took) in pooled(logins).await? {
        if let Some(took) = took {
            recorder.phase(Phase::Login, Outcome::Established, TokenKind::Valid, nanoseconds(took));
        }
        sessions.push(Arc::new(session));
    }
    Ok(sessions)
}

async fn token_of_each(
    service: &Arc<LoginService>,
    sessions: &[Arc<Session>],
    recorder: &mut Recorder,
) -> Result<Vec<Token>, TokenError> {
    let requests = sessions.iter().map(|session| {
        let (service, session) = (service.clone(), session.clone());
        async move {
            let (token, took) = service.token(&session).await;
            token.map(|token| (token, took))
        }
    });
    let mut tokens = Vec::new();
    for (token, took) in pooled(requests).await? {
        recorder.phase(Phase::Token, Outcome::Established, TokenKind::Valid, nanoseconds(took));
        recorder.counters.token_requests += 1;
        tokens.push(token);
    }
    Ok(tokens)
}

/// Runs the work, [`LOGINS_AT_ONCE`] at a time, to results in the order of the work or to its first error.
async fn pooled<T, F>(work: impl Iterator<Item = F>) -> Result<Vec<T>, TokenError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, LoginError>> + Send + 'static,
{
    let mut done: Vec<Option<T>> = Vec::new();
    let mut running = JoinSet::new();
    for (place, task) in work.enumerate() {
        if running.len() >= LOGINS_AT_ONCE {
            keep_next(&mut running, &mut done).await?;
        }
        done.push(None);
        running.spawn(async move { (place, task.await) });
    }
    while !running.is_empty() {
        keep_next(&mut running, &mut done).await?;
    }
    Ok(done.into_iter().flatten().collect())
}

/// Waits for the next task and stores its result at its index.
async fn keep_next<T: 'static>(
    running: &mut JoinSet<(usize, Result<T, LoginError>)>,
    done: &mut [Option<T>],
) -> Result<(), TokenError> {
    if let Some(joined) = running.join_next().await {
        let (place, result) = joined.map_err(TokenError::Task)?;
        done[place] = Some(result?);
    }
    Ok(())
}

/// Makes the tokens of the run.
enum Maker {
    Login(Arc<LoginService>, Vec<Arc<Session>>),
    /// With the variables of each user.
    Mint(MintPlan, Vec<Variables>),
}

fn open_requests(shards: usize, maker: Maker) -> Supply {
    let (requests, service) = Requests::open(shards);
    tokio::spawn(serve(service, Arc::new(maker), None));
    Supply::OnDemand(requests)
}

/// The supply of one token for each user, which `--refresh` may renew.
fn keep(load: &LoadSpec, tokens: Vec<Token>, maker: Maker) -> Supply {
    let ahead = match load.refresh {
        Refresh::Never => return Supply::Ready(tokens.into()),
        Refresh::Ahead(ahead) => Some(ahead),
        Refresh::OnRefusal => None,
    };
    let kept = Kept::new(tokens, ahead);
    let (requests, service) = Requests::open(load.shards());
    tokio::spawn(serve(service, Arc::new(maker), Some(kept.clone())));
    Supply::Kept(kept, requests)
}

async fn serve(mut service: Service, maker: Arc<Maker>, kept: Option<Kept>) {
    let places = Arc::new(Semaphore::new(TOKENS_AT_ONCE));
    while let Some(ticket) = service.next().await {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let (maker, answers) = (maker.clone(), service.answers.clone());
        let kept = kept.clone();
        tokio::spawn(async move {
            let answer = match kept {
                None => maker.make(ticket.number).await,
                Some(kept) => renew(&kept, &maker, &ticket).await,
            };
            answers.give(ticket.shard, answer);
            drop(place);
        });
    }
}

/// Renews a user's token, unless another arrival has just renewed it.
async fn renew(kept: &Kept, maker: &Maker, ticket: &Ticket) -> Answer {
    let mut token_ns = None;
    let make = async {
        let answer = maker.make(ticket.number).await;
        token_ns = answer.token_ns;
        answer.result
    };
    let (result, made) = kept.renew(ticket.number, ticket.refused.as_ref(), UnixInstant::now, make).await;
    Answer { number: ticket.number, result, token_ns, made }
}

impl Maker {
    async fn make(&self, number: u64) -> Answer {
        let (result, token_ns) = match self {
            Self::Login(service, sessions) => {
                let (result, took) = service.token(&sessions[turn(number, sessions.len())]).await;
                (result.map_err(|error| error.failure), Some(nanoseconds(took)))
            }
            Self::Mint(plan, users) => {
                let user = &users[turn(number, users.len())];
                // The plan has signed before, with the same key: this cannot fail but by memory.
                let unsigned = Failure { phase: Phase::Token, kind: FailureKind::Limit };
                (plan.token(user, SystemTime::now()).map_err(|_| unsigned), None)
            }
        };
        Answer { number, result, token_ns, made: true }
    }
}

/// Whose turn an arrival is among `count` users, which is not zero.
fn turn(number: u64, count: usize) -> usize {
    (number % count as u64) as usize
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn read_tokens(path: &Path) -> Result<Arc<[Token]>, InputError> {
    let fault = |problem: String| InputError(format!("tokens from {}: {problem}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(fault(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let mut tokens = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let token = line.trim();
        if token.is_empty() {
            continue;
        }
        if !is_sendable(token) {
            let problem = format!("line {} is no token: write one a line, without spaces", place + 1);
            return Err(fault(problem));
        }
        tokens.push(Token::from(token));
    }
    if tokens.is_empty() {
        return Err(fault("it holds none".to_owned()));
    }
    Ok(tokens.into())
}

#[cfg(test)]
mod tests;
