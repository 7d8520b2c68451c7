/** @file File names of which no two are equal. */

/** Numbers repeated names: "a.png", "a-2.png". Upper and lower case are one, as on Windows and macOS. */
export function uniqueNames(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    const dot = name.lastIndexOf(".");
    const [stem, end] = dot < 0 ? [name, ""] : [name.slice(0, dot), name.slice(dot)];
    let free = name;
    for (let n = 2; taken.has(free.toLowerCase()); n++) free = `${stem}-${n}${end}`;
    taken.add(free.toLowerCase());
    return free;
  });
}
