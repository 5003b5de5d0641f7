//! The users of a run, their tokens, and where the handshake holds the token.

use std::sync::Arc;

use wire::engineio::Version;

use crate::ground::outcome::TokenKind;
use crate::ground::values::InputError;
use crate::spec::args::RunArgs;
use crate::spec::error::{SpecError, conflict, out_of_range};
use crate::spec::login::{LoginMethod, LoginPlan};
use crate::spec::protocol::{Protocol, TokenIn};
use crate::spec::resolve::targets::TargetChoice;
use crate::spec::secret::Secret;
use crate::spec::signing::MintPlan;
use crate::spec::steps::read_steps;
use crate::spec::target_key::{NO_PUBLIC_KEY, NO_SIGNING_KEY, TargetKey};
use crate::spec::template::Variables;
use crate::spec::tokens::{TokenPlan, TokenSource};
use crate::spec::urls::shown;
use crate::spec::users::{USERNAME, User, UserText, read_users};
use crate::spec::values::{Refresh, TokenPer, TokenSourceName};

pub(super) fn users(args: &RunArgs, embedded: bool) -> Result<Vec<User>, SpecError> {
    if args.users.is_some() && !args.user.is_empty() {
        return Err(conflict("--user and --users", "users are named here or in a file, not both"));
    }
    if let Some(path) = &args.users {
        return Ok(read_users(path)?);
    }
    let users: Vec<User> = args.user.iter().map(UserText::read).collect::<Result<_, InputError>>()?;
    // Steps may log a service in that has no users, as a client with a secret of its own.
    let needs_login = args.token.is_empty() && matches!(args.token_source, None | Some(TokenSourceName::Login));
    if users.is_empty() && !embedded && !needs_login {
        // Tokens without a login still name a user.
        return Ok(vec![User {
            name: "gatecrash".to_owned(),
            password: Secret::new(*b""),
            columns: Variables::default(),
        }]);
    }
    Ok(users)
}

/// The users and tokens of a run; without a source, tokens come from the embedded server's frontend.
pub(super) fn plan(
    args: &RunArgs,
    choice: &TargetChoice,
    users: Vec<User>,
) -> Result<TokenPlan<Option<TokenSource>>, SpecError> {
    let embedded = matches!(choice, TargetChoice::Embedded(_));
    let source = args.token_source.clone().unwrap_or(TokenSourceName::Login);
    refuse_flags_without_effect(args, &source, embedded)?;
    let source = match source {
        TokenSourceName::Login if args.login.is_empty() && args.token.is_empty() => login(args, embedded)?,
        TokenSourceName::Login => Some(steps(args, &users)?),
        TokenSourceName::Mint => Some(TokenSource::Mint(mint(args, choice, &users)?)),
        TokenSourceName::File(path) => Some(TokenSource::File(path)),
    };
    check_refresh(args, source.as_ref())?;
    Ok(TokenPlan {
        per: args.token_per.unwrap_or(TokenPer::Connection),
        key: target_key(args, choice)?,
        source,
        users: users.into(),
    })
}

/// The tokens of running servers, which must have a source.
pub(super) fn of_named(plan: TokenPlan<Option<TokenSource>>) -> Result<TokenPlan, SpecError> {
    let source = plan.source.ok_or(SpecError::Missing(
        "a target's tokens must come from somewhere: name its service with --login-url, --token-url and --user, make them \
         here with --token-source mint --secret env:NAME, or bring them with --token-source file:PATH",
    ))?;
    Ok(TokenPlan { users: plan.users, source, per: plan.per, key: plan.key })
}

fn check_refresh(args: &RunArgs, source: Option<&TokenSource>) -> Result<(), SpecError> {
    let refresh = args.refresh.unwrap_or_default();
    if refresh != Refresh::Never && matches!(source, Some(TokenSource::File(_))) {
        return Err(conflict(
            "--refresh",
            "the tokens of a file cannot be made anew; use --token-source login or mint",
        ));
    }
    if matches!(refresh, Refresh::Ahead(_)) && args.token_per != Some(TokenPer::User) {
        return Err(conflict(
            "--refresh ahead",
            "each connection has a token of its own, made when it is due; use --token-per user",
        ));
    }
    Ok(())
}

/// The target's key, where invalid tokens need it. What cannot be made without one is refused here.
fn target_key(args: &RunArgs, choice: &TargetChoice) -> Result<TargetKey, SpecError> {
    let key = match (choice, &args.secret, &args.key) {
        (TargetChoice::Embedded(embedded), _, _) => TargetKey::from_secret(&embedded.secret),
        (_, Some(_), Some(_)) => {
            return Err(conflict("--secret and --key", "a token has one signature"));
        }
        (_, Some(secret), None) => TargetKey::from_secret(&secret.read("the --secret")?),
        (_, None, Some(path)) => TargetKey::from_file(path)?,
        (_, None, None) => TargetKey::default(),
    };
    let mix = args.mix.clone().unwrap_or_default();
    for (kind, can_be_made, why) in [
        (TokenKind::Expired, key.is_signing(), NO_SIGNING_KEY),
        (TokenKind::NotYetValid, key.is_signing(), NO_SIGNING_KEY),
        (TokenKind::AlgConfused, key.public_pem().is_some(), NO_PUBLIC_KEY),
    ] {
        if mix.has(kind) && !can_be_made {
            return Err(InputError(format!("--mix {}: {why}", kind.as_str())).into());
        }
    }
    Ok(key)
}

fn refuse_flags_without_effect(args: &RunArgs, source: &TokenSourceName, embedded: bool) -> Result<(), SpecError> {
    let login = *source == TokenSourceName::Login;
    let mint = *source == TokenSourceName::Mint;
    let file = matches!(source, TokenSourceName::File(_));
    let makes_invalid = args.mix.as_ref().is_some_and(|mix| {
        [TokenKind::Expired, TokenKind::NotYetValid, TokenKind::AlgConfused].into_iter().any(|kind| mix.has(kind))
    });
    let only_login = "only --token-source login asks a service for tokens";
    let only_mint = "only --token-source mint makes tokens here";
    let only_signing = "only --token-source mint, and expired, not-yet-valid or alg-confused tokens of a --mix, are \
                        signed here";
    for (flag, given, has_effect, why) in [
        ("[[login]]", !args.login.is_empty(), login, only_login),
        ("[[token]]", !args.token.is_empty(), login, only_login),
        ("--login-url", args.login_url.is_some(), login, only_login),
        ("--token-url", args.token_url.is_some(), login, only_login),
        ("--login-method", args.login_method.is_some(), login, only_login),
        ("--token-json-pointer", args.token_json_pointer.is_some(), login, only_login),
        ("--secret", args.secret.is_some(), mint || embedded || makes_invalid, only_signing),
        ("--key", args.key.is_some(), mint || makes_invalid, only_signing),
        ("--alg", args.alg.is_some(), mint, only_mint),
        ("--kid", args.kid.is_some(), mint, only_mint),
        ("--claims", args.claims.is_some(), mint, only_mint),
        ("--token-ttl", args.token_ttl.is_some(), mint || embedded && !file, only_mint),
        (
            "--token-per",
            args.token_per.is_some(),
            !file,
            "the tokens of a file are taken in turn, one for each connection",
        ),
    ] {
        if given && !has_effect {
            return Err(conflict(flag, why));
        }
    }
    Ok(())
}

fn steps(args: &RunArgs, users: &[User]) -> Result<TokenSource, SpecError> {
    if args.login_url.is_some() || args.token_url.is_some() {
        return Err(conflict(
            "login-url or token-url, and [[login]] or [[token]]",
            "a login is described by URLs or by steps, not both",
        ));
    }
    // All users have the same columns; where no user was named there is neither a name nor a password to fill in.
    let named = !args.user.is_empty() || args.users.is_some();
    let variables = users.first().filter(|_| named).map(User::variables);
    let columns: Vec<String> = variables.iter().flat_map(Variables::names).map(str::to_owned).collect();
    let steps = read_steps(&args.login, &args.token, &columns)?;
    Ok(TokenSource::Steps(Arc::new(steps)))
}

/// The login that flags describe; `None` without `--token-url`.
fn login(args: &RunArgs, embedded: bool) -> Result<Option<TokenSource>, SpecError> {
    let Some(token_url) = &args.token_url else {
        if embedded && args.login_url.is_some() {
            return Err(SpecError::Missing("--login-url gets a session; name with --token-url where its token is had"));
        }
        return Ok(None);
    };
    if args.user.is_empty() && args.users.is_none() {
        return Err(SpecError::Missing(
            "--token-url needs users: name them with --user NAME:PASSWORD or --users FILE.csv",
        ));
    }
    for (flag, url) in [("--login-url", args.login_url.as_ref()), ("--token-url", Some(token_url))] {
        let Some(url) = url else { continue };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(out_of_range(flag, shown(url), "it must begin with http:// or https://"));
        }
    }
    let pointer = args.token_json_pointer.clone().unwrap_or_default();
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(out_of_range("--token-json-pointer", pointer, "it begins with /, as in /data/token (RFC 6901)"));
    }
    Ok(Some(TokenSource::Login(LoginPlan {
        login_url: args.login_url.clone(),
        method: args.login_method.unwrap_or(LoginMethod::Basic),
        token_url: token_url.clone(),
        token_json_pointer: pointer,
    })))
}

fn mint(args: &RunArgs, choice: &TargetChoice, users: &[User]) -> Result<MintPlan, SpecError> {
    let plan = match (choice, &args.secret, &args.key) {
        (_, Some(_), Some(_)) => {
            return Err(conflict("--secret and --key", "a token has one signature"));
        }
        (TargetChoice::Embedded(embedded), _, _) => MintPlan::with_secret(&embedded.secret, None)?,
        (_, Some(secret), None) => MintPlan::with_secret(&secret.read("the --secret")?, args.alg)?,
        (_, None, Some(path)) => MintPlan::with_key_file(path, args.alg)?,
        (_, None, None) => {
            return Err(SpecError::Missing(
                "--token-source mint signs with the target's key: give --secret env:NAME, or --key FILE.pem",
            ));
        }
    };
    let claims = args.claims.clone().unwrap_or_default();
    // All users have the same columns.
    let columns = users.first().map(|user| &user.columns);
    let mut known = vec![USERNAME];
    known.extend(columns.into_iter().flat_map(Variables::names));
    if let Some(name) = claims.variables().iter().find(|name| !known.contains(name)) {
        let allowed = format!(
            "of each user is known: {}; more columns come from a --users file whose first line names them",
            known.join(", ")
        );
        return Err(out_of_range("--claims", format!("{{{{{name}}}}}"), &allowed));
    }
    Ok(plan.with_kid(args.kid.clone()).with_claims(claims).with_ttl(args.token_ttl.map(|period| period.0)))
}

pub(super) fn token_in(args: &RunArgs, protocol: Protocol) -> Result<TokenIn, SpecError> {
    let token_in = args.token_in.clone().unwrap_or(TokenIn::Query("token".to_owned()));
    match (&token_in, protocol) {
        (TokenIn::Auth(_), Protocol::WebSocket) => Err(conflict(
            "--token-in auth",
            "a raw WebSocket has no connect packet to carry it; use --protocol socketio, or another place",
        )),
        (TokenIn::Auth(_), Protocol::SocketIo(Version::V3)) => Err(conflict(
            "--token-in auth and --eio 3",
            "the connect packet has a payload from Socket.IO 3 on, which is --eio 4; use query:NAME with --eio 3",
        )),
        _ => Ok(token_in),
    }
}
