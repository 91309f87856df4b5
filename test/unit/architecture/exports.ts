/** Which names the files of src/ export, and which of them any other file takes. */
import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import ts from 'typescript'
import { filesBelow, repository } from './rooms.js'

export interface SourceText {
  /** from the repository's root, with forward slashes */
  file: string
  text: string
}

/** Where names of src/ may be used; what is compiled into dist/ counts as src/. */
const USERS = ['src', 'test', 'benchmarks', 'scripts', 'examples', 'experiments']

export function allSources(): SourceText[] {
  return USERS.flatMap((folder) =>
    filesBelow(folder, ['.ts', '.mjs', '.cjs'])
      .filter((name) => !name.includes('node_modules/'))
      .map((name) => ({ file: `${folder}/${name}`, text: readFileSync(join(repository, folder, name), 'utf8') })),
  )
}

/** `FILE: NAME` of every export of src/ that no other file imports; src/index.ts exports for those who install us. */
export function unusedExports(sources: readonly SourceText[]): string[] {
  const trees = sources.map(({ file, text }) => ({ file, text, tree: parse(file, text) }))
  const used = new Set(trees.flatMap(({ file, text, tree }) => [...taken(file, tree), ...takenLater(file, text)]))
  return trees
    .filter(({ file }) => file.startsWith('src/') && file !== 'src/index.ts')
    .flatMap(({ file, tree }) =>
      exported(tree)
        .filter((name) => !used.has(`${file}: ${name}`) && !used.has(`${file}: *`))
        .map((name) => `${file}: ${name}`),
    )
}

function parse(file: string, text: string): ts.SourceFile {
  return ts.createSourceFile(file, text, ts.ScriptTarget.Latest, false)
}

/** Names that a file declares and exports; names that it only passes on are looked for where they are declared. */
function exported(tree: ts.SourceFile): string[] {
  return tree.statements.flatMap((statement) => {
    if (ts.isExportDeclaration(statement)) {
      const clause = statement.exportClause
      if (statement.moduleSpecifier !== undefined || clause === undefined || !ts.isNamedExports(clause)) return []
      return clause.elements.map(({ name }) => name.text)
    }
    const modifiers = ts.canHaveModifiers(statement) ? (ts.getModifiers(statement) ?? []) : []
    if (!modifiers.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) return []
    if (ts.isVariableStatement(statement)) return statement.declarationList.declarations.flatMap(namesOf)
    const { name } = statement as ts.DeclarationStatement
    return name !== undefined && ts.isIdentifier(name) ? [name.text] : []
  })
}

function namesOf({ name }: ts.VariableDeclaration | ts.BindingElement): string[] {
  if (ts.isIdentifier(name)) return [name.text]
  return name.elements.flatMap((element) => (ts.isBindingElement(element) ? namesOf(element) : []))
}

/** What a file's import and export statements name, as `FILE: NAME`, or `FILE: *` where they take all. */
function taken(file: string, tree: ts.SourceFile): string[] {
  return tree.statements.flatMap((statement) => {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) return []
    if (statement.moduleSpecifier === undefined || !ts.isStringLiteral(statement.moduleSpecifier)) return []
    const target = targetOf(file, statement.moduleSpecifier.text)
    const clause = ts.isImportDeclaration(statement) ? statement.importClause?.namedBindings : statement.exportClause
    if (clause !== undefined && (ts.isNamedImports(clause) || ts.isNamedExports(clause)))
      return clause.elements.map(({ name, propertyName }) => `${target}: ${(propertyName ?? name).text}`)
    const namesNothing = ts.isImportDeclaration(statement) && clause === undefined
    return namesNothing ? [] : [`${target}: *`]
  })
}

/** import('...') at run time, and the types that `import('...').Name` takes: all of the file. */
function takenLater(file: string, text: string): string[] {
  return [...text.matchAll(/\bimport\(\s*['"`]([^'"`]+)['"`]/g)].map(([, target]) => `${targetOf(file, target!)}: *`)
}

function targetOf(file: string, specifier: string): string {
  const path = posix.normalize(posix.join(posix.dirname(file), specifier))
  return path.replace(/^dist\//, 'src/').replace(/\.js$/, '.ts')
}
