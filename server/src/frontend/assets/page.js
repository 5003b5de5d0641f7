// Shows what becomes of the user's socket. `?token=...` is used in place of a token of the session.
(() => {
  // A gate whose application knows no users is not waited for any longer.
  const WHOAMI_MAX_MS = 3000;
  let attempt = 0, close = () => {};

  function show(state, text, user) {
    document.getElementById("status").textContent = text;
    document.getElementById("user").textContent = user ?? "–";
    document.body.dataset.state = state;
  }

  async function fetchToken() {
    const asked = new URLSearchParams(location.search).get("token");
    if (asked !== null) return { token: asked };
    const response = await fetch("/getIoConnectionToken", { cache: "no-store" });
    return response.ok ? { token: await response.json() } : { refusal: await response.text() };
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
      const { token, refusal } = await fetchToken();
      if (mine !== attempt) return;
      if (refusal !== undefined) on.refused(refusal);
      else close = openSocket(document.body.dataset.gate, token, on);
    } catch {
      on.disconnected();
    }
  }

  document.getElementById("reconnect").onclick = connect;
  connect();
})();
