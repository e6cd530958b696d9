// Package agent evaluates flags for programs in any language, over OFREP, OpenFeature's remote evaluation protocol.
//
// The agent runs next to the program, as a Lambda extension or as a sidecar, and listens on the loopback interface.
// It keeps the flags of the DynamoDB table in memory and evaluates them with LaunchDarkly's Go SDK. Before an
// evaluation, it polls the journal, or joins a poll, if the last poll began more than an interval ago. Therefore no
// evaluation is older than the interval, whether or not the process was frozen in the meantime.
//
//   - agent.go is the HTTP handler: routes, limits, authorization.
//   - evaluate.go evaluates one flag or all of them.
//   - context.go maps an OpenFeature context to a LaunchDarkly context; reason.go maps LaunchDarkly's reasons.
//   - status.go reports whether the agent is ready.
//   - server.go serves the handler and loads the flags; extension.go does the same as a Lambda extension.
//
// OFREP 0.3: https://github.com/open-feature/protocol. The bulk endpoint's event streams are not implemented.
package agent
