// Parses PowerShell files with the tree-sitter grammar and names every place that is no PowerShell.
// usage: node parse-powershell.cjs NODE_MODULES FILE...
const path = require('path');
const fs = require('fs');
const [modules, ...files] = process.argv.slice(2);
const { Parser, Language } = require(path.join(modules, 'web-tree-sitter', 'tree-sitter.cjs'));

function bad(node, file, out) {
  if (node.isError || node.isMissing) {
    const { row, column } = node.startPosition;
    out.push(`${file}:${row + 1}:${column + 1}: ${node.isMissing ? 'missing ' + node.type : 'not PowerShell: ' + JSON.stringify(node.text.slice(0, 60))}`);
    return;
  }
  if (node.hasError) node.children.forEach((c) => bad(c, file, out));
}

(async () => {
  await Parser.init();
  const parser = new Parser();
  parser.setLanguage(await Language.load(path.join(modules, 'tree-sitter-powershell', 'tree-sitter-powershell.wasm')));
  const out = [];
  for (const file of files) {
    const tree = parser.parse(fs.readFileSync(file, 'utf8'));
    bad(tree.rootNode, path.basename(file), out);
    // Every string literal, so that a test can see what a value was read as.
    for (const n of tree.rootNode.descendantsOfType('verbatim_string_characters'))
      console.log('string\t' + path.basename(file) + '\t' + n.text.replace(/\n/g, '\\n'));
    tree.delete();
  }
  out.forEach((l) => console.log('error\t' + l));
})().catch((e) => { console.error(e); process.exit(1); });
