/** The pages of one column, before hyparquet decodes them: it takes the sizes and counts in their headers for true. */
import type { ColumnMetaData } from 'hyparquet'
import { parquetHeader } from 'hyparquet/src/column.js'
import { guarded, tooLarge } from './footer.js'
import { walkStruct } from './thrift.js'

/** Of one page when it is decompressed. */
const MAX_PAGE_BYTES = 2 ** 26
/** Of one column of one row group when it is decompressed. */
export const MAX_COLUMN_BYTES = 2 ** 28
/** Deflate's largest ratio; a page that says more is a bomb or holds one value again and again. */
const MAX_RATIO = 1032

/**
 * @param bytes of the column in one row group
 * @throws OneroundError MALFORMED; MEMORY for more than the limits
 */
export function checkPages(bytes: Uint8Array, meta: ColumnMetaData, path: string): void {
  const where = `the column ${JSON.stringify(meta.path_in_schema.join('.').slice(0, 100))}`
  guarded(path, where, () => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    let values = 0
    let whole = 0
    let pages = 0
    for (let at = 0; at < bytes.length; ) {
      const start = walkStruct(bytes, at)
      const header = parquetHeader({ view, offset: at })
      const compressed = size(header.compressed_page_size, bytes.length - start, 'bytes in a page')
      const uncompressed = size(header.uncompressed_page_size, 2 ** 31, 'bytes in a page')
      if (uncompressed > MAX_PAGE_BYTES)
        throw tooLarge(path, `a page of ${uncompressed} bytes`, `at most ${MAX_PAGE_BYTES} bytes`)
      if (uncompressed > MAX_RATIO * (compressed + 1))
        throw new Error(`a page of ${compressed} bytes that would become ${uncompressed}`)
      whole += uncompressed
      if (whole > MAX_COLUMN_BYTES) throw tooLarge(path, `${where} of more than ${whole} bytes`, `${MAX_COLUMN_BYTES}`)
      if (header.type === 'DICTIONARY_PAGE') {
        if (pages > 0) throw new Error('a dictionary behind other pages')
        // a value of a dictionary takes a byte at least
        size(header.dictionary_page_header?.num_values, uncompressed, 'values in a dictionary')
      } else if (header.type === 'DATA_PAGE') {
        values += size(header.data_page_header?.num_values, Number(meta.num_values) - values, 'values in a page')
      } else if (header.type === 'DATA_PAGE_V2') {
        const two = header.data_page_header_v2
        const own = size(two?.num_values, Number(meta.num_values) - values, 'values in a page')
        size(two?.num_nulls, own, 'nulls in a page')
        const repetition = size(two?.repetition_levels_byte_length, compressed, 'bytes of levels')
        const definition = size(two?.definition_levels_byte_length, compressed - repetition, 'bytes of levels')
        if (repetition + definition > uncompressed) throw new Error('levels longer than their page')
        values += own
      } else {
        throw new Error('a page of an unknown kind')
      }
      pages++
      at = start + compressed
    }
    if (values !== Number(meta.num_values)) throw new Error(`${values} values in its pages, not ${meta.num_values}`)
  })
}

function size(value: unknown, most: number, what: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most) return value
  throw new Error(`${typeof value === 'number' ? value : 'no number of'} ${what}`)
}
