// Loaded into NNI's manager by NODE_OPTIONS=--require: a server that names no host listens on loopback only.
// NNI calls app.listen(port), which would open its page, without any login, to the whole network.
'use strict';
const net = require('net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  const first = args[0];
  if (typeof first === 'number' || (typeof first === 'string' && /^[0-9]+$/.test(first))) {
    if (typeof args[1] !== 'string') {
      args.splice(1, args[1] === null || args[1] === undefined ? 1 : 0, '127.0.0.1');
    }
  } else if (first === undefined || first === null || typeof first === 'function') {
    // listen(), listen(callback): any port
    args.splice(0, first === undefined || first === null ? 1 : 0, { port: 0, host: '127.0.0.1' });
  } else if (typeof first === 'object' && first.port !== undefined && !first.host && !first.path) {
    args[0] = { ...first, host: '127.0.0.1' };
  }
  return listen.apply(this, args);
};
