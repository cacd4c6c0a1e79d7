/** Why a route is what it is, asked again when a decision comes into force. */
import { useEffect, useState } from "preact/hooks";
import { readExplanation } from "../api";
import type { Explanation } from "../model";
import type { Place } from "../place";
import { useStore } from "../store";

export interface Explained {
  readonly told: Explanation | undefined;
  readonly problem: string | null;
}

const NOTHING: Explained = { told: undefined, problem: null };

/** Asks nothing without a place. */
export function useExplanation(place: Place | null): Explained {
  const classes = useStore((state) => state.session?.classes);
  const version = useStore((state) => (place?.at === null ? state.routes : null));
  const [known, set] = useState<Explained>(NOTHING);
  const src = place?.src ?? "";
  const dst = place?.dst ?? "";
  const klass = place?.klass || (classes?.[0] ?? "0");
  const at = place?.at ?? null;
  useEffect(() => {
    let asked = true;
    if (src === "" || dst === "") set(NOTHING);
    else if (src === dst) set({ told: undefined, problem: "A path leads from one node to another." });
    else {
      readExplanation(src, dst, klass, at).then(
        (told) => asked && set({ told, problem: null }),
        (error: unknown) => asked && set({ told: undefined, problem: error instanceof Error ? error.message : String(error) }),
      );
    }
    return () => {
      asked = false;
    };
  }, [src, dst, klass, at, version]);
  return known;
}
