/** @file A config field's name in the two spellings: snake_case in files, camelCase in this library. */

export function camelCase(key: string): string {
  return key.replace(/(?<=.)_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

export function snakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
