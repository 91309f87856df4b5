// What the embedded base learns from: the addresses before 1945, about three per cent of them held out whole.
import { createHash } from 'node:crypto'

/** The first year that the base must not see; the demo's clients speak from 1946 on. */
export const FIRST_UNSEEN_YEAR = 1945

/**
 * @typedef {import('../../src/data/addresses.ts').Address} Address
 */

/**
 * Splits by whole address. The order of choice is that of SHA-256(seed, year, president), so it depends on nothing else;
 * addresses are taken until the held-out part has `fraction` of all characters, passing over one that would overshoot by half.
 * @param {readonly Address[]} addresses   any years; those from FIRST_UNSEEN_YEAR on are left out
 * @param {{ seed: number, fraction: number }} options
 * @returns {{ train: Address[], heldOut: Address[] }} each in the order given
 */
export function splitCorpus(addresses, { seed, fraction }) {
  const old = addresses.filter((address) => address.year < FIRST_UNSEEN_YEAR)
  const wanted = fraction * old.reduce((sum, address) => sum + address.text.length, 0)
  const lot = (/** @type {Address} */ a) =>
    createHash('sha256').update(`${seed}\n${a.year}\n${a.president}`).digest('hex')
  const drawn = old.map((address) => ({ address, lot: lot(address) })).sort((a, b) => (a.lot < b.lot ? -1 : 1))
  /** @type {Set<Address>} */
  const held = new Set()
  let characters = 0
  for (const { address } of drawn) {
    if (characters >= wanted) break
    if (characters + address.text.length > 1.5 * wanted) continue
    held.add(address)
    characters += address.text.length
  }
  return {
    train: old.filter((address) => !held.has(address)),
    heldOut: old.filter((address) => held.has(address)),
  }
}

/**
 * Documents as one stream: the separator, then each document followed by the separator.
 * @param {readonly string[]} documents
 * @param {(text: string) => number[]} encode
 * @param {number} separator
 * @returns {Int32Array}
 */
export function tokenStream(documents, encode, separator) {
  /** @type {number[]} */
  const ids = [separator]
  for (const document of documents) {
    for (const id of encode(document)) ids.push(id)
    ids.push(separator)
  }
  return Int32Array.from(ids)
}
