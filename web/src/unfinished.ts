/**
 * @file Ids of unfinished jobs in localStorage, so that a reloaded page can follow them again. All tabs share the list;
 * a tab asks the others which jobs they follow, and claims the rest.
 */

const storageKey = "koala.generating";
const answerMs = 200;

/** Ids of the jobs that this tab follows. */
const own = new Set<string>();
/** Not Web Locks: browsers offer them only to pages from https or this machine. */
const tabs = new BroadcastChannel("koala.tabs");

type Message = { ask: true } | { followed: string[] };

tabs.addEventListener("message", ({ data }: MessageEvent<Message>) => {
  if ("ask" in data && own.size > 0) tabs.postMessage({ followed: [...own] } satisfies Message);
});

export function addUnfinished(id: string): void {
  own.add(id);
  store([...new Set([...stored(), id])]);
}

export function removeUnfinished(id: string): void {
  own.delete(id);
  store(stored().filter((other) => other !== id));
}

/** Removes and returns the ids that no open tab follows; `addUnfinished` adds them again. */
export async function claimUnfinished(): Promise<string[]> {
  const ids = stored();
  if (ids.length === 0) return [];
  const others = await idsOfOtherTabs();
  const left = ids.filter((id) => !others.has(id) && !own.has(id));
  store(stored().filter((id) => !left.includes(id)));
  return left;
}

async function idsOfOtherTabs(): Promise<ReadonlySet<string>> {
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
