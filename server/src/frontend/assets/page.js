// Shows what becomes of the user's socket. `?token=...` is used in place of a token of the session, and where the session
// itself lets the socket in, `?session=...` in place of its cookie, which the browser sends and no script may read.
(() => {
  // A gate whose application knows no users is not waited for any longer.
  const WHOAMI_MAX_MS = 3000;
  let attempt = 0, close = () => {};

  function show(state, text, user) {
    document.getElementById("status").textContent = text;
    document.getElementById("user").textContent = user ?? "–";
    document.body.dataset.state = state;
  }

  async function findProof() {
    const kind = document.body.dataset.auth;
    const asked = new URLSearchParams(location.search).get(kind);
    if (asked !== null) return { proof: { [kind]: asked } };
    if (kind === "session") return { proof: {} };
    const response = await fetch("/getIoConnectionToken", { cache: "no-store" });
    return response.ok ? { proof: { token: await response.json() } } : { refusal: await response.text() };
  }

  async function connect() {
    const mine = ++attempt;
    let isOver = false, whoami = 0;
    // An earlier attempt, or one that has ended, has nothing more to say.
    const tell = (isLast, ...what) => {
      if (mine !== attempt || isOver) return;
      clearTimeout(whoami);
      isOver = isLast;
      show(...what);
    };
    const on = {
      connected: () => {
        whoami = setTimeout(() => tell(false, "connected", "connected"), WHOAMI_MAX_MS);
      },
      user: (name) => {
        const user = typeof name === "string" ? name : "nobody";
        tell(false, "connected", "connected as " + user, user);
      },
      refused: (message, data) => {
        const reason = data && data.reason ? " (" + data.reason + ")" : "";
        tell(true, "refused", "refused: " + message + reason);
      },
      disconnected: (why) => {
        tell(true, "disconnected", why ? "disconnected: " + why : "disconnected");
      },
    };
    close();
    close = () => {};
    show("connecting", "connecting");
    try {
      const { proof, refusal } = await findProof();
      if (mine !== attempt) return;
      if (refusal !== undefined) on.refused(refusal);
      else close = openSocket(document.body.dataset.gate, proof, on);
    } catch {
      on.disconnected();
    }
  }

  document.getElementById("reconnect").onclick = connect;
  connect();
})();
