//go:build tools

// Package traefik pins the gateway that the tests of traffic run against. A module of its own:
// Traefik replaces and excludes modules, which would bind the other programs too.
package traefik

import _ "github.com/traefik/traefik/v3/cmd/traefik"
