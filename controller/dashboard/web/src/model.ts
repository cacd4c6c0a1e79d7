/** What the API says, as `docs/openapi.json` has it, as far as it is shown here. */

export const METRICS = ["rtt", "loss", "residual"] as const;
export type Metric = (typeof METRICS)[number];

export interface Session {
  network: string;
  version: string;
  ends: string | null;
  classes: string[];
  intervalSeconds: number;
}

export interface Condition {
  type: string;
  status: string;
  reason: string;
  message: string;
  lastTransitionTime: string;
}

export interface Node {
  metadata: { name: string; creationTimestamp: string; labels: Record<string, string> };
  spec: { id: number; addresses: string[]; relay: boolean; prefixes: string[]; pricePerGb: number };
  status: {
    conditions: Condition[];
    uplinks: { name: string; endpoint: string | null; mtu: number; lanes: number }[];
    announced: string[];
    version: string | null;
    lastSeen: string | null;
    certificateNotAfter: string | null;
  };
}

export interface LinkMatrix {
  metric: Metric;
  at: string;
  spanSeconds: number;
  nodes: string[];
  values: (number | null)[][];
}

export interface LinkHistory {
  metric: Metric;
  spanSeconds: number;
  times: number[];
  lines: Partial<Record<"value" | "median" | "high" | "known", (number | null)[]>>;
}

export interface EndToEnd {
  rttMs: number | null;
  lossRatio: number | null;
  active: boolean;
  ageSeconds: number;
}

export interface Candidate {
  path: string[];
  verdict: "primary" | "backup" | "rejected";
  reason: string;
  cost: number | null;
  forecastRttMs: number | null;
  measuredRttMs: number | null;
  forecastLossRatio: number | null;
  measuredLossRatio: number | null;
  endToEnd: EndToEnd | null;
}

export interface RouteEvent {
  at: string;
  decider: string;
  before: string[] | null;
  after: string[] | null;
  reason: string;
}

export interface Explanation {
  source: string;
  destination: string;
  class: string;
  objective: string;
  reason: string;
  decider: string;
  decidedAt: string;
  figuresAt: string | null;
  candidates: Candidate[];
  history: RouteEvent[];
}

export interface MeshEvent {
  at: string;
  kind: "node" | "link" | "route";
  nodes: string[];
  class: string | null;
  decider: string | null;
  before: string[] | null;
  after: string[] | null;
  reason: string;
}

export interface Routes {
  generation: number;
  routes: number;
  decidedAt: string | null;
}

export function isConnected(node: Node): boolean {
  return node.status.conditions.some((one) => one.type === "Connected" && one.status === "True");
}
