// Command provider speaks Terraform's plugin protocol in the place of a provider:
// terraform-provider-aws or terraform-provider-google, whichever its name is. It has the
// extract of that one's schemas and nothing behind them, which is enough for tofu
// validate, and for tofu test with mock_provider.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/conmotion/conmotion/internal/tfschema"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "provider:", err)
		os.Exit(1)
	}
}

func run() error {
	providers, err := tfschema.Providers()
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(filepath.Base(os.Args[0]), "terraform-provider-")
	p := providers[name]
	if p == nil {
		return fmt.Errorf("there is no extract of the provider %q", name)
	}
	return tf5server.Serve("registry.opentofu.org/hashicorp/"+name, func() tfprotov5.ProviderServer { return server{provider: p} })
}

// server answers what validating asks. Whatever else is asked ends the process: with
// mock_provider nothing is.
type server struct {
	tfprotov5.ProviderServer
	provider *tfschema.Provider
}

// errSchemaOnly says that there is nothing behind the schemas.
var errSchemaOnly = errors.New("this provider has schemas only; tests use mock_provider")

func (s server) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	out := &tfprotov5.GetProviderSchemaResponse{
		// What the modules set of a provider itself.
		Provider: &tfprotov5.Schema{Block: &tfprotov5.SchemaBlock{Attributes: []*tfprotov5.SchemaAttribute{
			{Name: "region", Type: tftypes.String, Optional: true}, {Name: "project", Type: tftypes.String, Optional: true},
		}}},
		ResourceSchemas: map[string]*tfprotov5.Schema{}, DataSourceSchemas: map[string]*tfprotov5.Schema{},
	}
	for name, b := range s.provider.Resources {
		out.ResourceSchemas[name] = &tfprotov5.Schema{Block: block(b)}
	}
	for name, b := range s.provider.Data {
		out.DataSourceSchemas[name] = &tfprotov5.Schema{Block: block(b)}
	}
	return out, nil
}

func block(b *tfschema.Block) *tfprotov5.SchemaBlock {
	out := &tfprotov5.SchemaBlock{}
	for name, a := range b.Attributes {
		writeOnly := a.Settable() && strings.HasSuffix(name, "_wo") // the providers' convention
		out.Attributes = append(out.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: typeOf(a.Type()), Required: a.Required(), Optional: a.Settable() && !a.Required(),
			// Which optional ones the provider also sets is not in the extract.
			Computed: !a.Required() && !writeOnly, WriteOnly: writeOnly,
		})
	}
	for name, n := range b.Blocks {
		nested := &tfprotov5.SchemaNestedBlock{TypeName: name, Block: block(&n.Block), Nesting: tfprotov5.SchemaNestedBlockNestingModeList}
		switch n.Nesting {
		case "set":
			nested.Nesting = tfprotov5.SchemaNestedBlockNestingModeSet
		case "single":
			nested.Nesting = tfprotov5.SchemaNestedBlockNestingModeSingle
		}
		if n.Nesting != "single" && n.Required {
			nested.MinItems = 1
		}
		if n.Nesting != "single" && n.One {
			nested.MaxItems = 1
		}
		out.BlockTypes = append(out.BlockTypes, nested)
	}
	return out
}

// typeOf reads a type in Terraform's language.
func typeOf(s string) tftypes.Type {
	if outer, inner, ok := strings.Cut(strings.TrimSuffix(s, ")"), "("); ok {
		switch element := typeOf(inner); outer {
		case "list":
			return tftypes.List{ElementType: element}
		case "set":
			return tftypes.Set{ElementType: element}
		case "map":
			return tftypes.Map{ElementType: element}
		}
	}
	return map[string]tftypes.Type{"string": tftypes.String, "number": tftypes.Number, "bool": tftypes.Bool, "any": tftypes.DynamicPseudoType}[s]
}

func (s server) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	return nil, errSchemaOnly
}

func (s server) GetResourceIdentitySchemas(context.Context, *tfprotov5.GetResourceIdentitySchemasRequest) (*tfprotov5.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov5.GetResourceIdentitySchemasResponse{}, nil
}

func (s server) PrepareProviderConfig(_ context.Context, r *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: r.Config}, nil
}

func (s server) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func (s server) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (s server) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

// UpgradeResourceState gives the state back as it is.
func (s server) UpgradeResourceState(_ context.Context, r *tfprotov5.UpgradeResourceStateRequest) (*tfprotov5.UpgradeResourceStateResponse, error) {
	t := block(s.provider.Resources[r.TypeName]).ValueType()
	v, err := r.RawState.Unmarshal(t)
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", r.TypeName, err)
	}
	state, err := tfprotov5.NewDynamicValue(t, v)
	return &tfprotov5.UpgradeResourceStateResponse{UpgradedState: &state}, err
}
