package testenv

import (
	"fmt"
	"strings"

	"github.com/launchdarkly/go-sdk-common/v3/ldattr"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	build "github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
)

func segment(key string) *build.SegmentBuilder {
	return build.NewSegmentBuilder(key).Version(1).Salt("salt-" + key)
}

// inSegment is a flag that is "on" for a segment.
func inSegment(key string) ldmodel.FeatureFlag {
	return ruled("in-"+key, build.SegmentMatchClause(key))
}

// segments are lists, rules with percentages, segments in segments, also in a circle.
func segments() Environment {
	member := func(clauses ...ldmodel.Clause) *build.SegmentRuleBuilder {
		return build.NewSegmentRuleBuilder().ID("member").Clauses(clauses...)
	}
	anybody := build.Negate(build.Clause("key", ldmodel.OperatorIn, text("nobody")))
	e := Environment{Name: "segments", Segments: []ldmodel.Segment{
		segment("nobody").Build(),
		segment("listed").Included("alice", "bob").Excluded("bob", "carol").Build(),
		segment("orgs").IncludedContextKind(orgKind, "acme").ExcludedContextKind(orgKind,
			"globex").AddRule(member(build.ClauseWithKind(orgKind, "tier", ldmodel.OperatorIn, text("gold")))).Build(),
		segment("ruled").Excluded("carol").AddRule(member(build.Clause("email", ldmodel.OperatorContains,
			text("@")))).AddRule(member(build.Clause("country", ldmodel.OperatorStartsWith, text("a")))).Build(),
		segment("half").AddRule(member(anybody).Weight(50000)).Build(),
		segment("half-by-country").AddRule(member(anybody).Weight(50000).BucketBy("country")).Build(),
		segment("half-by-city").AddRule(member(anybody).Weight(50000).BucketByRef(ldattr.NewRef("/address/city"))).
			Build(),
		segment("half-of-orgs").AddRule(member(anybody).Weight(50000).RolloutContextKind(orgKind)).Build(),
		segment("none-of-it").AddRule(member(anybody).Weight(0)).Build(),
		segment("nested").AddRule(member(build.SegmentMatchClause("listed", "half"))).Build(),
		segment("circle-1").AddRule(member(build.SegmentMatchClause("circle-2"))).Build(),
		segment("circle-2").AddRule(member(build.SegmentMatchClause("circle-1"))).Build(),
	}}
	for _, s := range e.Segments {
		e.Flags = append(e.Flags, inSegment(s.Key))
	}
	e.Flags = append(e.Flags, inSegment("that-does-not-exist"))
	return e
}

// bigSegments have their members in a separate table; without it, they have no members.
func bigSegments() Environment {
	e := Environment{Name: "big-segments", Segments: []ldmodel.Segment{
		segment("big").Unbounded(true).Generation(2).Build(),
		segment("big-orgs").Unbounded(true).UnboundedContextKind(orgKind).Generation(1).Build(),
		segment("big-or-staff").Unbounded(true).Generation(1).AddRule(build.NewSegmentRuleBuilder().ID("staff").
			Clauses(build.Clause("staff", ldmodel.OperatorIn, ldvalue.Bool(true)))).Build(),
		segment("big-without-generation").Unbounded(true).Build(),
	}}
	for _, s := range e.Segments {
		e.Flags = append(e.Flags, inSegment(s.Key))
	}
	return e
}

// unicode has keys that a program could truncate, escape, normalize or confuse with other keys.
func unicode() Environment {
	e := Environment{Name: "unicode"}
	for i, key := range []string{
		"ключ", "鍵", "🔑", "é", "e\u0301", "ß", "SS", "a b", " a ", "a/b", "a:b", "prod:features",
		"$inited", "$sync", "\"", "\\", "<&>", "%41", "\u2028", ".", "..", "A", "a",
		strings.Repeat("k", 1000), strings.Repeat("🔑", 250),
	} {
		e.Flags = append(e.Flags, flag(key).Version(i+1).FallthroughVariation(i%3).Build())
		e.Segments = append(e.Segments,
			segment(key).Version(i+1).Included(key, "ключ/🔑 with \"quotes\" & <tags>").Build())
	}
	e.Flags = append(e.Flags, ruled("in-🔑", build.SegmentMatchClause("🔑")),
		flag("needs-🔑").AddPrerequisite("🔑", 2).Build())
	return e
}

// values are variations of every JSON type, and numbers at the edge of what a double holds.
func values() Environment {
	e := Environment{Name: "values"}
	for i, json := range []string{
		`null`, `true`, `false`, `0`, `-1`, `1.5`, `1e100`, `9007199254740991`, `-9007199254740991`, `0.1`, `""`,
		`"text"`, `"<é> & 😀 \u2028 \"quoted\" \\ \n"`,
		`[]`, `{}`, `[1, [2, [3, [null]]]]`, `{"a": {"b": {"c": [true, {"d": ""}]}}, "": 1, "z": "ä"}`, `"` +
			strings.Repeat("long ", 1000) + `"`,
	} {
		e.Flags = append(e.Flags,
			build.NewFlagBuilder(fmt.Sprintf("value-%02d",
				i)).Version(1).On(true).Variations(ldvalue.Parse([]byte(json))).OffVariation(0).
				FallthroughVariation(0).Build())
	}
	return e
}

// deleted are tombstones, and flags that refer to them.
func deleted() Environment {
	gone := build.NewSegmentBuilder("gone").Version(7).Build()
	gone.Deleted = true
	return Environment{Name: "deleted", Segments: []ldmodel.Segment{gone}, Flags: []ldmodel.FeatureFlag{
		build.NewFlagBuilder("gone").Version(9).Deleted(true).Build(),
		flag("here").Version(3).Build(),
		inSegment("gone"),
		flag("needs-gone").AddPrerequisite("gone", 0).Build(),
	}}
}

// heavyBytes is a little less than DynamoDB's 400 KB, which count keys and names of attributes too.
const heavyBytes = 400<<10 - 200

// heavy are a flag and a segment that just fit into an item.
func heavy() Environment {
	const width = len(`"member-000000",`)
	members := func(count int) []string {
		keys := make([]string, count)
		for i := range keys {
			keys[i] = fmt.Sprintf("member-%06d", i)
		}
		return append(keys, "alice")
	}
	count := heavyBytes/width - 100 // for everything else in the item
	return Environment{Name: "heavy", Flags: []ldmodel.FeatureFlag{
		flag("heavy-targets").AddTarget(1, members(count)...).Build(),
		flag("heavy-value").Variations(text("off"), text(strings.Repeat("x", heavyBytes-1000)),
			text("other")).AddTarget(1, "alice").Build(),
		inSegment("heavy-list"),
	}, Segments: []ldmodel.Segment{segment("heavy-list").Included(members(count)...).Build()}}
}

// many returns a number of flags, each with a rule on one of a hundred segments.
func many(count int) Environment {
	e := Environment{Name: "many"}
	key := func(i int) string { return fmt.Sprintf("segment-%02d", i) }
	for i := range 100 {
		e.Segments = append(e.Segments, segment(key(i)).Included(fmt.Sprintf("member-%d", i), "alice").Build())
	}
	for i := range count {
		e.Flags = append(e.Flags, flag(fmt.Sprintf("flag-%04d", i)).Version(1+i%7).FallthroughVariation(i%3).
			AddRule(build.NewRuleBuilder().ID("in").Variation((i+1)%3).Clauses(build.SegmentMatchClause(key(i%100)))).
			Build())
	}
	return e
}
