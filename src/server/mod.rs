//! HTTP in: listeners, routes, errors to statuses, TLS, the admin port.
