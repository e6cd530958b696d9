package testenv

import (
	"fmt"

	"github.com/launchdarkly/go-sdk-common/v3/ldattr"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	build "github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
)

// Shorthands for values of clauses and variations.
var (
	text  = ldvalue.String
	num   = ldvalue.Float64
	texts = func(s ...string) (all []ldvalue.Value) {
		for _, one := range s {
			all = append(all, text(one))
		}
		return all
	}
)

// flag begins a flag that is on, with the variations "off" (0), "on" (1) and "other" (2).
func flag(key string) *build.FlagBuilder {
	return build.NewFlagBuilder(key).Version(1).Salt("salt-" + key).On(true).
		Variations(texts("off", "on", "other")...).OffVariation(0).FallthroughVariation(0)
}

// ruled is a flag that is "on" where one rule's clauses match.
func ruled(key string, clauses ...ldmodel.Clause) ldmodel.FeatureFlag {
	return flag(key).AddRule(build.NewRuleBuilder().ID("rule-" + key).Clauses(clauses...).Variation(1)).Build()
}

func empty() Environment { return Environment{Name: "empty"} }

// operators has a flag for each operator, and one for its negation, with values of matching and other types.
func operators() Environment {
	e := Environment{Name: "operators"}
	for _, c := range []struct {
		name   string
		clause ldmodel.Clause
	}{
		{"in", build.Clause("email", ldmodel.OperatorIn, texts("bob@example.com", "")...)},
		{"in-key", build.Clause("key", ldmodel.OperatorIn, texts("alice", "globex")...)},
		{"in-kind", build.Clause("kind", ldmodel.OperatorIn, text("org"))},
		{"in-number", build.Clause("age", ldmodel.OperatorIn, num(42))},
		{"in-bool", build.Clause("staff", ldmodel.OperatorIn, ldvalue.Bool(true))},
		{"in-anonymous", build.Clause("anonymous", ldmodel.OperatorIn, ldvalue.Bool(true))},
		{"in-array", build.Clause("groups", ldmodel.OperatorIn, text("ops"), num(7))},
		{"in-nested", build.ClauseRef(ldattr.NewRef("/address/city"), ldmodel.OperatorIn, text("Zürich"))},
		{"in-deep", build.ClauseRef(ldattr.NewRef("/address/geo/lat"), ldmodel.OperatorIn, num(47.37))},
		{"in-escaped", build.ClauseRef(ldattr.NewRef("/address/a~1b~0c"), ldmodel.OperatorIn, text("odd"))},
		{"in-nothing", build.Clause("email", ldmodel.OperatorIn)},
		{"in-other-kind", build.ClauseWithKind(orgKind, "tier", ldmodel.OperatorIn, text("gold"))},
		{"ends-with", build.Clause("email", ldmodel.OperatorEndsWith, texts("@example.com", "@nobody")...)},
		{"starts-with", build.Clause("email", ldmodel.OperatorStartsWith, text("bob"))},
		{"matches", build.Clause("email", ldmodel.OperatorMatches, text(`^[a-z]+@.*\.(com|org)$`))},
		{"matches-invalid", build.Clause("email", ldmodel.OperatorMatches, text(`***`))},
		{"contains", build.Clause("email", ldmodel.OperatorContains, text("EXAMPLE"))},
		{"less-than", build.Clause("age", ldmodel.OperatorLessThan, num(42))},
		{"less-than-or-equal", build.Clause("age", ldmodel.OperatorLessThanOrEqual, num(42))},
		{"greater-than", build.Clause("age", ldmodel.OperatorGreaterThan, num(17))},
		{"greater-than-or-equal", build.Clause("age", ldmodel.OperatorGreaterThanOrEqual, text("42"), num(42))},
		{"before", build.Clause("joined", ldmodel.OperatorBefore, text("2020-02-29T11:00:00.6Z"))},
		{"before-number", build.Clause("joined", ldmodel.OperatorBefore, num(1577836800001))},
		{"after", build.Clause("joined", ldmodel.OperatorAfter, text("2019-12-31T23:59:59Z"))},
		{"semver-equal", build.Clause("version", ldmodel.OperatorSemVerEqual, texts("2.3.1", "2.0.0")...)},
		{"semver-less-than", build.Clause("version", ldmodel.OperatorSemVerLessThan, text("2.3.1"))},
		{"semver-greater-than", build.Clause("version", ldmodel.OperatorSemVerGreaterThan, text("2.3"))},
		{"segment-match", build.SegmentMatchClause("none", "staff")},
		{"unknown", build.Clause("email", "somethingNew", text("bob@example.com"))},
	} {
		e.Flags = append(e.Flags, ruled(c.name, c.clause), ruled("not-"+c.name, build.Negate(c.clause)))
	}
	e.Flags = append(e.Flags,
		ruled("two-clauses", build.Clause("age", ldmodel.OperatorGreaterThan, num(20)),
			build.Clause("staff", ldmodel.OperatorIn, ldvalue.Bool(true))))
	e.Segments = append(e.Segments,
		build.NewSegmentBuilder("staff").Version(1).Salt("s").Included("alice", "bob").Build())
	return e
}

// targeting is everything but rollouts that decides: on and off, targets, the order of rules, prerequisites, and
// flags that are wrong.
func targeting() Environment {
	rule := func(variation int, name string) *build.RuleBuilder {
		return build.NewRuleBuilder().ID("for-" +
			name).Variation(variation).Clauses(build.Clause("key", ldmodel.OperatorIn, text(name)))
	}
	return Environment{Name: "targeting", Flags: []ldmodel.FeatureFlag{
		flag("off").On(false).Build(),
		build.NewFlagBuilder("off-without-variation").Version(1).Variations(texts("a")...).Build(),
		flag("targets").AddTarget(1, "alice", "bob").AddTarget(2, "carol").Build(),
		flag("context-targets").AddTarget(1, "alice").AddContextTarget("user", 1).AddContextTarget(orgKind,
			2, "acme").Build(),
		flag("rules").AddRule(rule(1, "bob")).AddRule(rule(2, "bob")).AddRule(rule(2,
			"carol").TrackEvents(true)).Build(),
		flag("rule-without-variation").AddRule(build.NewRuleBuilder().ID("none").Clauses(build.Clause("key",
			ldmodel.OperatorIn, text("alice")))).Build(),
		flag("wrong-variation").FallthroughVariation(9).Build(),
		flag("negative-variation").FallthroughVariation(-1).Build(),
		flag("base").AddTarget(1, "alice", "bob").Build(),
		flag("needs-base").AddPrerequisite("base", 1).FallthroughVariation(1).Build(),
		flag("needs-both").AddPrerequisite("needs-base", 1).AddPrerequisite("targets",
			1).FallthroughVariation(2).Build(),
		flag("needs-off").AddPrerequisite("off", 0).FallthroughVariation(1).Build(),
		flag("needs-none").AddPrerequisite("no-such-flag", 0).FallthroughVariation(1).Build(),
		flag("cycle-1").AddPrerequisite("cycle-2", 0).Build(),
		flag("cycle-2").AddPrerequisite("cycle-1", 0).Build(),
	}}
}

// rollouts are percentages and experiments, by key and by other attributes, with and without a seed.
func rollouts() Environment {
	by := func(r ldmodel.VariationOrRollout, change func(*ldmodel.Rollout)) ldmodel.VariationOrRollout {
		change(&r.Rollout)
		return r
	}
	thirds := []ldmodel.WeightedVariation{build.Bucket(0, 33333), build.Bucket(1, 33333), build.Bucket(2, 33334)}
	partly := []ldmodel.WeightedVariation{build.Bucket(1, 20000), build.Bucket(2, 30000),
		build.BucketUntracked(0, 50000)}
	seed := ldvalue.NewOptionalInt(61)
	e := Environment{Name: "rollouts"}
	for _, c := range []struct {
		name string
		how  ldmodel.VariationOrRollout
	}{
		{"rollout", build.Rollout(thirds...)},
		{"rollout-none", build.Rollout(build.Bucket(1, 0), build.Bucket(2, 100000))},
		{"rollout-short", build.Rollout(build.Bucket(1, 1000), build.Bucket(2, 1000))}, // the rest gets the last one
		{"rollout-empty", build.Rollout()},
		{"rollout-seed", by(build.Rollout(thirds...), func(r *ldmodel.Rollout) { r.Seed = seed })},
		{"rollout-by-country",
			by(build.Rollout(thirds...), func(r *ldmodel.Rollout) { r.BucketBy = ldattr.NewRef("country") })},
		{"rollout-by-number",
			by(build.Rollout(thirds...),
				func(r *ldmodel.Rollout) { r.BucketBy = ldattr.NewRef("seats"); r.ContextKind = orgKind })},
		{"rollout-by-org", by(build.Rollout(thirds...), func(r *ldmodel.Rollout) { r.ContextKind = orgKind })},
		{"experiment", build.Experiment(seed, partly...)},
		{"experiment-without-seed", build.Experiment(ldvalue.OptionalInt{}, partly...)},
		// which it ignores
		{"experiment-by-country",
			by(build.Experiment(seed, partly...), func(r *ldmodel.Rollout) { r.BucketBy = ldattr.NewRef("country") })},
		{"experiment-by-org",
			by(build.Experiment(seed, partly...), func(r *ldmodel.Rollout) { r.ContextKind = orgKind })},
	} {
		e.Flags = append(e.Flags, flag(c.name).Fallthrough(c.how).Build(), flag(c.name+"-in-rule").AddRule(
			build.NewRuleBuilder().ID("half").VariationOrRollout(c.how).Clauses(build.Negate(build.Clause("key",
				ldmodel.OperatorIn, text("alice"))))).Build())
	}
	return e
}

// migrations are flags of LaunchDarkly's migrations, and what was added with them.
func migrations() Environment {
	stages := texts("off", "dualwrite", "shadow", "live", "rampdown", "complete")
	e := Environment{Name: "migrations"}
	for i, stage := range []string{"off", "dualwrite", "shadow", "live", "rampdown", "complete"} {
		e.Flags = append(e.Flags, flag("stage-"+stage).Variations(stages...).FallthroughVariation(i).
			MigrationFlagParameters(build.NewMigrationFlagParametersBuilder().CheckRatio(i).Build()).Build())
	}
	e.Flags = append(e.Flags,
		flag("without-ratio").Variations(stages...).MigrationFlagParameters(build.NewMigrationFlagParametersBuilder().
			Build()).Build(),
		flag("sampled").SamplingRatio(10).ExcludeFromSummaries(true).Build(),
		flag("never-sampled").SamplingRatio(0).Build(),
	)
	return e
}

// visibility is what client-side SDKs may see, and what events are sent.
func visibility() Environment {
	e := Environment{Name: "visibility"}
	for _, id := range []bool{false, true} {
		for _, mobile := range []bool{false, true} {
			e.Flags = append(e.Flags,
				flag(fmt.Sprintf("id-%v-mobile-%v", id,
					mobile)).ClientSideUsingEnvironmentID(id).ClientSideUsingMobileKey(mobile).Build())
		}
	}
	e.Flags = append(e.Flags, flag("visibility-not-said").Build(), flag("tracked").TrackEvents(true).Build(),
		flag("tracked-fallthrough").TrackEventsFallthrough(true).Build(),
		flag("debugged").DebugEventsUntilDate(4102444800000).Build(), flag("debugged-once").DebugEventsUntilDate(1000).
			Build())
	return e
}
