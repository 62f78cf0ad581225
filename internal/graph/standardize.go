package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// Standardize is (z - mean)/(sd + 1e-7) of each row of z (R, C), with the
// standard deviation that divides by C-1: C is 2 or more. A row of equal elements
// becomes zeros.
func Standardize(z *gorgonia.Node) (*gorgonia.Node, error) {
	if z.Dims() != 2 || z.Shape()[1] < 2 {
		return nil, fmt.Errorf("graph: standardize: z is %v; want (R, C) with C of 2 or more", z.Shape())
	}
	if z.Dtype() == tensor.Float64 {
		return standardize[float64](z)
	}
	return standardize[float32](z)
}

func standardize[F kernel.Float](z *gorgonia.Node) (*gorgonia.Node, error) {
	rows, c := z.Shape()[0], z.Shape()[1]
	o := &op{name: "standardize", shape: z.Shape(), wrt: []bool{true}}
	o.run = func(v []gorgonia.Value) {
		z, y := floats[F](v[0]), floats[F](o.value)
		eachRow(rows, c, func(i, j int) { kernel.StandardizeRow(y[i:j], z[i:j]) })
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "standardize.dz", shape: z.Shape()}
		d.run = func(v []gorgonia.Value) {
			z, dy, dz := floats[F](v[0]), floats[F](v[1]), floats[F](d.value)
			eachRow(rows, c, func(i, j int) { kernel.StandardizeRowGrad(dz[i:j], z[i:j], dy[i:j]) })
		}
		dz, err := apply[F](d, z, dy)
		return []*gorgonia.Node{dz}, err
	}
	return apply[F](o, z)
}
