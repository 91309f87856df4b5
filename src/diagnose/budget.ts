/** What a diagnosis may spend: tokens read forward and back, as a share of those that training reads. */
export class Budget {
  /** tokens that may be read */
  readonly limit: number
  /** what was left open because the limit came first */
  readonly unsettled: string[] = []
  spent = 0

  constructor(
    readonly trainingRows: number,
    readonly share: number,
  ) {
    this.limit = share * trainingRows
  }

  /** Whether `rows` more fit. */
  has(rows: number): boolean {
    return this.spent + rows <= this.limit
  }

  told(): { rows: number; trainingRows: number; share: number; limit: number; unsettled: string[] } {
    const { spent, trainingRows, share, unsettled } = this
    return {
      rows: spent,
      trainingRows,
      share: trainingRows > 0 ? spent / trainingRows : 0,
      limit: share,
      unsettled: [...unsettled],
    }
  }
}
