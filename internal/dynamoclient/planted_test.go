//go:build prove

package dynamoclient_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^Test", Timeout: 2 * time.Minute, Mutants: []mutant.Mutant{
		mutant.Fault("temporary credentials lose their token", "dynamoclient.go",
			`os.Getenv("AWS_SESSION_TOKEN")`, `""`),
		mutant.Fault("a restored process has no credentials", "dynamoclient.go",
			`os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")`, `""`),
		mutant.Fault("a container in ECS has no credentials", "dynamoclient.go",
			`os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")`, `""`),
		mutant.Fault("a pod in EKS has no token", "dynamoclient.go",
			`os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")`, `""`),
		mutant.Fault("the general endpoint is preferred", "dynamoclient.go",
			`first("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL")`,
			`first("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB")`),
		mutant.Fault("FIPS endpoints are ignored", "dynamoclient.go",
			`os.Getenv("AWS_USE_FIPS_ENDPOINT") == "true"`, "false"),
		mutant.Fault("all certificates are parsed", "roots.go", "roots != nil && !d.useFull.Load()", "false"),
		mutant.Fault("only Amazon is trusted", "roots.go",
			"	return d.handshake(ctx, network, address, nil)",
			"	return d.handshake(ctx, network, address, amazonRoots())"),
		mutant.Fault("the second attempt is not remembered", "roots.go",
			"d.useFull.Store(true)", "d.useFull.Store(false)"),
		mutant.Fault("nothing is verified", "roots.go", "config.ServerName, config.RootCAs = host, roots",
			"config.ServerName, config.RootCAs, config.InsecureSkipVerify = host, roots, true"),
		mutant.Fault("the host's name is not verified", "roots.go", "config.ServerName, config.RootCAs = host, roots",
			`config.ServerName, config.RootCAs = "127.0.0.2"+host[len(host):], roots`),
		mutant.Fault("only one base64 form is searched", "roots.go", "range 3 {", "range 1 {"),
	}})
}
