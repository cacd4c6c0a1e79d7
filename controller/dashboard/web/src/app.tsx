/** The page: who is logged in, where one is, and the frame around every view. */
import { useCallback, useEffect, useState } from "preact/hooks";
import { logIn, logOut, readEvents, readMatrix, readSession, Refused } from "./api";
import { clock } from "./format";
import { Help, useKeys } from "./keys";
import { listen } from "./live";
import { matrixOf } from "./matrix";
import { isConnected, type Metric } from "./model";
import { go, type Place, usePlace, VIEWS, type View } from "./place";
import { current, update, useStore } from "./store";
import { switchTheme } from "./theme";
import { TimeBar } from "./time";
import { EventsView } from "./views/events";
import { MapView } from "./views/map";
import { MatrixView } from "./views/matrix";
import { NodesView } from "./views/nodes";
import { PathView } from "./views/path";

const TITLE: Record<View, string> = { matrix: "Matrix", map: "Map", path: "Path", events: "Events", nodes: "Nodes" };

/** Which figures of links a view needs. */
function needed(place: Place): readonly Metric[] {
  if (place.view === "path") return ["rtt", "loss", "residual"];
  return place.view === "map" ? [...new Set<Metric>(["rtt", place.metric])] : [place.metric];
}

export function App() {
  const session = useStore((state) => state.session);
  useEffect(() => {
    readSession().then(
      (known) => update({ session: known }),
      (error: unknown) => {
        if (!(error instanceof Refused && error.status === 401)) update({ session: null, problem: "The controller does not answer." });
      },
    );
  }, []);
  if (session === undefined) return null;
  return session === null ? <Login /> : <Page />;
}

function Login() {
  const [problem, set] = useState(useStore((state) => state.problem));
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const token = new FormData(event.currentTarget as HTMLFormElement).get("token");
    try {
      update({ session: await logIn(String(token).trim()), problem: null });
    } catch (error) {
      set(error instanceof Refused && error.status === 401 ? "That is not this controller's admin token." : "The controller does not answer.");
    }
  };
  return (
    <main class="login">
      <form onSubmit={(event) => void submit(event)}>
        <h1>overlayd</h1>
        <label for="token">Admin token</label>
        <input id="token" name="token" type="password" autocomplete="current-password" required autofocus aria-describedby="where problem" />
        <p id="where" class="hint">
          It stands in <code>admin.token</code> of the controller's state directory, by default <code>/var/lib/overlayd-controller</code>. What you open
          here can read the mesh for twelve hours, and change nothing.
        </p>
        <p id="problem" class="problem" role="alert">
          {problem}
        </p>
        <button type="submit">Log in</button>
      </form>
    </main>
  );
}

function Page() {
  const place = usePlace();
  const [helping, help] = useState(false);
  const open = useCallback(() => help(true), []);
  useKeys(open);
  useLinks(place);
  useEffect(() => {
    document.title = `${TITLE[place.view]} · ${current().session?.network ?? ""} · overlayd`;
  }, [place.view]);
  return (
    <>
      <a class="skip" href="#view" onClick={(event) => (event.preventDefault(), document.getElementById("view")?.focus())}>
        Skip to the view
      </a>
      <Header place={place} help={open} />
      <TimeBar place={place} />
      <main id="view" tabIndex={-1} class={`view ${place.view}`}>
        <h1 class="unseen">{TITLE[place.view]}</h1>
        {place.view === "matrix" && <MatrixView place={place} />}
        {place.view === "map" && <MapView place={place} />}
        {place.view === "path" && <PathView place={place} />}
        {place.view === "events" && <EventsView place={place} />}
        {place.view === "nodes" && <NodesView place={place} />}
      </main>
      <Help open={helping} close={() => help(false)} />
    </>
  );
}

/** Has the figures that the view needs follow the stream, or stand at a moment of the past. */
function useLinks(place: Place): void {
  const wanted = needed(place).join();
  useEffect(() => listen(wanted.split(",") as Metric[]), [wanted]);
  useEffect(() => {
    readEvents(null).then((events) => update({ events }), () => undefined);
  }, []);
  useEffect(() => {
    const { at } = place;
    if (at === null) {
      update({ past: null, problem: null });
      return;
    }
    let asked = true;
    const metrics = wanted.split(",") as Metric[];
    Promise.all(metrics.map((metric) => readMatrix(metric, at))).then(
      (told) => asked && update({ past: { at, matrices: Object.fromEntries(told.map((one) => [one.metric, matrixOf(one)])) }, problem: null }),
      (error: unknown) => asked && update({ past: { at, matrices: {} }, problem: error instanceof Error ? error.message : String(error) }),
    );
    return () => {
      asked = false;
    };
  }, [place.at, wanted]);
}

function Header({ place, help }: { place: Place; help: () => void }) {
  const session = useStore((state) => state.session);
  const nodes = useStore((state) => state.nodes);
  const theme = useStore((state) => state.theme);
  const connected = nodes.filter(isConnected).length;
  const leave = (): void => void logOut().finally(() => update({ session: null, live: {}, past: null, nodes: [], events: [] }));
  return (
    <header>
      <span class="brand">
        overlayd <b>{session?.network}</b>
      </span>
      <nav aria-label="Views">
        {VIEWS.map((view, i) => (
          <a key={view} href={`#/${view}`} aria-current={place.view === view ? "page" : undefined} onClick={(event) => (event.preventDefault(), go({ view }))}>
            {TITLE[view]} <kbd>{i + 1}</kbd>
          </a>
        ))}
      </nav>
      <Status place={place} />
      <span class="count" data-nodes={nodes.length}>
        <b>{connected}</b> of {nodes.length} connected
      </span>
      <button type="button" onClick={switchTheme} title="d">
        {theme === "dark" ? "Light" : "Dark"}
      </button>
      <button type="button" onClick={help} title="?">
        Keys
      </button>
      <button type="button" onClick={leave}>
        Log out
      </button>
    </header>
  );
}

function Status({ place }: { place: Place }) {
  const stream = useStore((state) => state.stream);
  const at = useStore((state) => Object.values(state.live)[0]?.at);
  const routes = useStore((state) => state.routes);
  if (place.at !== null) {
    return (
      <span class="status past">
        <i aria-hidden="true">◷</i> the past: {clock(place.at)}
        <button type="button" onClick={() => go({ at: null })}>
          Now
        </button>
      </span>
    );
  }
  const words = { live: "live", connecting: "connecting", lost: "connection lost, trying again" }[stream];
  return (
    <span class={`status ${stream}`} data-stream={stream} title={routes === null ? "" : `generation ${routes.generation}, ${routes.routes} routes, decided ${clock(routes.decidedAt)}`}>
      <i aria-hidden="true">{stream === "live" ? "●" : "○"}</i> <span role="status">{words}</span> {stream === "live" && <time>{clock(at)}</time>}
    </span>
  );
}
