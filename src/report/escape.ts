/** Names, data paths and notes in a run folder come from strangers; nothing of them may act as markup or as a terminal command. */

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** Text for an HTML text node or a quoted attribute. Control characters are shown, not sent. */
export function escapeHtml(text: string): string {
  return printable(text).replace(/[&<>"']/g, (c) => entities[c] ?? c)
}

/**
 * Text for a terminal or a page: C0 and C1 control characters (escape sequences, carriage returns) and the
 * direction overrides that can make a name read as another one are written as \u{..}. Line feeds too: a name is one line.
 */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are exactly what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (c) => {
    return `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`
  })
}

/** At most `width` characters, with an ellipsis where something was cut. Counts code points. */
export function shorten(text: string, width: number): string {
  const points = [...printable(text)]
  return points.length <= width ? points.join('') : `${points.slice(0, Math.max(0, width - 1)).join('')}…`
}
