package testenv

import (
	"strings"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
)

// orgKind is a second kind of context.
const orgKind ldcontext.Kind = "org"

// Contexts are for whom flags are evaluated: of one kind and of several, with attributes of every type, and enough
// plain ones that each bucket of a rollout has some.
func Contexts() []ldcontext.Context {
	contexts := []ldcontext.Context{
		ldcontext.New("alice"),
		ldcontext.NewBuilder("bob").Name("Bob").Anonymous(true).SetString("email", "bob@example.com").SetInt("age", 42).
			SetString("version", "2.3.1").SetString("joined", "2020-02-29T12:00:00.5+01:00").SetBool("staff", true).
			SetValue("groups", ldvalue.Parse([]byte(`["beta", "ops", 7]`))).
			SetValue("address",
				ldvalue.Parse([]byte(`{"city": "Zürich", "geo": {"lat": 47.37}, "a/b~c": "odd"}`))).Build(),
		ldcontext.NewBuilder("carol").SetString("email", "CAROL@EXAMPLE.ORG").SetFloat64("age",
			17.5).SetString("version", "2.3.1-rc.1").
			SetFloat64("joined", 1577836800000).SetValue("groups",
			ldvalue.Parse([]byte(`[]`))).Private("email").Build(),
		ldcontext.NewBuilder("dave").SetString("email", "").SetString("age", "42").SetString("version",
			"2").SetString("joined", "yesterday").
			SetValue("address", ldvalue.String("nowhere")).SetString("team", "blue").Build(),
		ldcontext.NewWithKind(orgKind, "acme"),
		ldcontext.NewBuilder("globex").Kind(orgKind).SetString("tier", "gold").SetInt("seats", 250).Build(),
		ldcontext.NewMulti(ldcontext.NewBuilder("bob").SetString("email", "bob@example.com").Build(),
			ldcontext.NewBuilder("acme").Kind(orgKind).SetString("tier", "gold").Build()),
		ldcontext.NewMulti(ldcontext.New("erin"), ldcontext.NewWithKind("device", "tv-1")),
		ldcontext.New("ключ/🔑 with \"quotes\" & <tags>"),
		ldcontext.New(strings.Repeat("long", 100)),
	}
	for _, name := range strings.Fields("ada ben cleo dan eva finn gina hugo iris jack kate liam mona nils olga " +
		"paul rosa sven tina yuri") {
		contexts = append(contexts, ldcontext.NewBuilder(name).SetString("country", string(name[0])+"-land").Build())
	}
	return contexts
}
