/** Questions to the API. All of them only read; the session's cookie opens nothing else. */
import type { Explanation, LinkHistory, LinkMatrix, MeshEvent, Metric, Session } from "./model";
import { update } from "./store";

export class Refused extends Error {
  constructor(
    readonly status: number,
    problem: string,
  ) {
    super(problem);
  }
}

type Query = Record<string, string | number | null | undefined>;

async function ask<T>(path: string, query: Query = {}, options: RequestInit = {}): Promise<T> {
  const given = Object.entries(query).flatMap(([key, value]) => (value === null || value === undefined ? [] : [[key, String(value)]]));
  const search = given.length > 0 ? `?${new URLSearchParams(given)}` : "";
  const answer = await fetch(`/v1${path}${search}`, { ...options, credentials: "same-origin" });
  if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as T;
  const said = (await answer.json().catch(() => ({}))) as { problem?: unknown };
  if (answer.status === 401) update({ session: null });
  throw new Refused(answer.status, typeof said.problem === "string" ? said.problem : `the controller answered ${answer.status}`);
}

export const readSession = (): Promise<Session> => ask("/session");

export const logIn = (token: string): Promise<Session> =>
  ask("/session", {}, { method: "POST", headers: { Authorization: `Bearer ${token}` } });

export const logOut = (): Promise<void> => ask("/session", {}, { method: "DELETE" });

export const readMatrix = (metric: Metric, at: number): Promise<LinkMatrix> => ask("/links/matrix", { metric, at });

export const readHistory = (metric: Metric, hours: number, until: number | null, ends?: { src: string; dst: string }): Promise<LinkHistory> =>
  ask("/links/history", { metric, hours, until, ...ends });

export const readExplanation = (src: string, dst: string, klass: string, at: number | null): Promise<Explanation> =>
  ask("/explain", { src, dst, class: klass, at });

export const readEvents = async (until: number | null, limit = 500): Promise<MeshEvent[]> =>
  (await ask<{ items: MeshEvent[] }>("/events", { until, limit })).items;
