'use strict';
/** Who may ask, and which rows a token lets one see. */
const jwt = require('jsonwebtoken');
const { CubejsHandlerError } = require('@cubejs-backend/api-gateway');

const LIMITED = 'pickup_borough';
const CLAIM = 'boroughs';

/** Cube's `checkAuth`: a token signed with the secret, HS256 and nothing else, not expired. */
function checkAuth(secret) {
  return (req, token) => {
    if (!token) throw new CubejsHandlerError(403, 'Forbidden', 'A token is required: Authorization: Bearer $(./loc token)');
    let claims;
    try {
      claims = jwt.verify(token, secret, { algorithms: ['HS256'] });
    } catch (error) {
      throw new CubejsHandlerError(403, 'Forbidden', `Invalid token: ${error.message}`);
    }
    if (typeof claims !== 'object') throw new CubejsHandlerError(403, 'Forbidden', 'Invalid token: it holds no claims');
    boroughs(claims);
    req.securityContext = claims;
  };
}

/**
 * The boroughs that a token limits rows to; null if it does not.
 *
 * @throws {CubejsHandlerError} The claim is there and is no list of names: nothing is answered, rather than everything.
 */
function boroughs(claims) {
  if (!claims || !(CLAIM in claims)) return null;
  const names = claims[CLAIM];
  if (!Array.isArray(names) || !names.length || !names.every((name) => typeof name === 'string' && name)) {
    throw new CubejsHandlerError(403, 'Forbidden', `The claim ${CLAIM} must be a list of names, such as ["Queens"]`);
  }
  return names;
}

/**
 * Cube's `queryRewrite`: a filter on every cube that the query reads, also by way of other members and of views.
 *
 * A cube without the dimension is refused: its rows could not be limited.
 */
function limitRows(compilerApi) {
  return async (query, context) => {
    const names = boroughs(context.securityContext);
    if (!names) return query;
    const api = await compilerApi(context);
    const { cubeEvaluator } = await api.getCompilers();
    const read = [...await api.getCubesFromQuery(query, context)].map((name) => cubeEvaluator.cubeFromPath(name));
    const cubes = read.filter((cube) => !cube.isView);
    const open = cubes.find((cube) => !cube.dimensions?.[LIMITED]);
    if (open || !cubes.length) {
      throw new CubejsHandlerError(
        403, 'Forbidden', `This token is limited by ${CLAIM}, and ${open ? open.name : 'the query'} has no ${LIMITED}`,
      );
    }
    const filters = cubes.map((cube) => ({ member: `${cube.name}.${LIMITED}`, operator: 'equals', values: names }));
    return { ...query, filters: [...(query.filters || []), ...filters] };
  };
}

/**
 * The SQL API takes SQL of the asker's own, for which `limitRows` was not made: a token that limits rows may not use it.
 *
 * @returns {import('express').RequestHandler}
 */
function withoutSqlApi(secret) {
  const check = checkAuth(secret);
  return (req, res, next) => {
    try {
      check(req, (req.headers.authorization || '').replace(/^Bearer /, ''));
      if (!boroughs(req.securityContext)) return next();
      return res.status(403).json({ error: `This token is limited by ${CLAIM}: ask by /load or GraphQL.` });
    } catch (error) {
      return res.status(error.status || 500).json({ error: error.message });
    }
  };
}

module.exports = { checkAuth, limitRows, withoutSqlApi };
