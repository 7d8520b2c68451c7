/**
 * @file The jobs that this browser waits for, by id: kept until they are over, so that a page that was left or reloaded
 * can follow them again. Tabs share the list, and a new one must not take what another still follows.
 */

const storageKey = "koala.generating";
const answerMs = 200;

/** Followed by this tab. */
const own = new Set<string>();
/** Not a lock: Web Locks are missing where a server is reached by http from another machine. */
const tabs = new BroadcastChannel("koala.tabs");

type Message = { ask: true } | { followed: string[] };

tabs.addEventListener("message", ({ data }: MessageEvent<Message>) => {
  if ("ask" in data && own.size > 0) tabs.postMessage({ followed: [...own] } satisfies Message);
});

export function remember(id: string): void {
  own.add(id);
  store([...new Set([...stored(), id])]);
}

export function forget(id: string): void {
  own.delete(id);
  store(stored().filter((other) => other !== id));
}

/** Those that no open tab follows, for this one to follow; `remember` keeps them. */
export async function takeUnfinished(): Promise<string[]> {
  const ids = stored();
  if (ids.length === 0) return [];
  const others = await followedElsewhere();
  const left = ids.filter((id) => !others.has(id) && !own.has(id));
  store(stored().filter((id) => !left.includes(id)));
  return left;
}

async function followedElsewhere(): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  const note = ({ data }: MessageEvent<Message>) => {
    if ("followed" in data) for (const id of data.followed) found.add(id);
  };
  tabs.addEventListener("message", note);
  tabs.postMessage({ ask: true } satisfies Message);
  await new Promise((resolve) => setTimeout(resolve, answerMs));
  tabs.removeEventListener("message", note);
  return found;
}

function stored(): string[] {
  try {
    const ids: unknown = JSON.parse(localStorage.getItem(storageKey) ?? "[]");
    return Array.isArray(ids) ? ids.filter((id) => typeof id === "string" && /^[\w-]{8,64}$/.test(id)) : [];
  } catch {
    return [];
  }
}

const store = (ids: readonly string[]) => localStorage.setItem(storageKey, JSON.stringify(ids));
