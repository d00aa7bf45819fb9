'use strict';
/** Checks a model: `node check.js FOLDER` prints the compiler's errors with file and line, and exits with 1 if there are any. */
require('./lib/native').choose(process.env.CUBE_NATIVE); // before any other module of Cube is loaded
const { LastGoodModel, repository } = require('./lib/model');

const folder = process.argv[2];
const model = new LastGoodModel(repository(folder), () => 'duckdb', { logger: () => {} }, folder);
model.getCompilers().then(() => process.exit(0), (error) => {
  console.log(error.message);
  process.exit(1);
});
