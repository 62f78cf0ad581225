package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"gorgonia.org/tensor"
)

// An ImageFolder says how a folder of images becomes a set: each folder in it
// is a class, and the PNG and JPEG files in that, at any depth, are its samples
// (as in torchvision.datasets.ImageFolder). Other files are passed over, and so
// is whatever has a name that starts with a dot.
type ImageFolder struct {
	// Height and Width are the size of the input. 0 and 0 mean that of the
	// first image.
	Height, Width int
	// Grey makes the input (1, Height, Width), the luma of ITU-R BT.601,
	// rather than the (3, Height, Width) of red, green and blue.
	Grey bool
	// Fit is what becomes of images of another size. The zero Fit refuses
	// them.
	Fit Fit
	// Name goes into the ids. It keeps the samples of several folders apart,
	// such as those of "train" and "valid".
	Name string
	// MaxPixels is the largest image that is decoded, by the size that its
	// file claims. 0 means 1<<26, which is 8192 by 8192.
	MaxPixels int
}

// A Fit is what becomes of images of another size than that of the input.
type Fit int

const (
	// Exact refuses them, with the name of the file.
	Exact Fit = iota
	// Stretch resizes them, whatever that does to their proportions
	// (torchvision: Resize((h, w))).
	Stretch
	// Cover resizes the largest part in their middle that has the proportions
	// of the input (torchvision: Resize and CenterCrop).
	Cover
)

// Open is the set of the images below root, such as os.DirFS("train"). Classes
// are sorted by name, and so are the samples of each. The input is "x", float32
// from 0 to 1; transparent parts are black, and a rotation that a camera noted is
// not applied. Images are resized as by Pillow's BILINEAR, with a triangle filter
// that skips no pixel. Decoders differ a little in the colours of a JPEG, which
// has fewer pixels of colour than of light.
//
// Nothing is decoded before it is read, so a file that is damaged is an error of
// Read that has its name; so is one that claims more than MaxPixels or 32768
// pixels in a row or a column. A [Loader] decodes with all processors.
//
// The id of a sample is a hash of Name and its path below root: samples keep
// their ids when others come or go. The fingerprint is that of paths and sizes of files, of
// their bytes it knows nothing.
func (f ImageFolder) Open(root fs.FS) (Set, error) {
	if root == nil {
		return nil, errors.New("data: ImageFolder: the fs.FS is nil")
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.MaxPixels == 0 {
		f.MaxPixels = 1 << 26
	}
	s := &folder{config: f, root: root}
	if err := s.list(); err != nil {
		return nil, fmt.Errorf("data: ImageFolder: %w", err)
	}
	if err := s.describe(); err != nil {
		return nil, fmt.Errorf("data: ImageFolder: %w", err)
	}
	return s, nil
}

func (f ImageFolder) check() error {
	switch {
	case f.Height < 0 || f.Width < 0 || (f.Height == 0) != (f.Width == 0):
		return fmt.Errorf("data: ImageFolder.Height and Width are %d and %d; want both 1 or more, or 0 and 0", f.Height, f.Width)
	case f.Height > maxSide || f.Width > maxSide:
		return fmt.Errorf("data: ImageFolder.Height and Width are %d and %d; want %d at most", f.Height, f.Width, maxSide)
	case f.Fit < Exact || f.Fit > Cover:
		return fmt.Errorf("data: ImageFolder.Fit is %d; want Exact, Stretch or Cover", f.Fit)
	case f.MaxPixels < 0:
		return fmt.Errorf("data: ImageFolder.MaxPixels is %d; want 0 or more", f.MaxPixels)
	}
	return nil
}

// A folder is an ImageFolder that is open.
type folder struct {
	config ImageFolder
	root   fs.FS
	files  []imageFile
	spec   Spec
	spare  sync.Pool // of *darkroom
}

type imageFile struct {
	path  string
	size  int64
	class int
	id    uint64
}

// list finds the classes and the files.
func (s *folder) list() error {
	entries, err := fs.ReadDir(s.root, ".") // sorted
	if err != nil {
		return err
	}
	for _, e := range entries {
		// A class may be a link to a folder.
		info, err := fs.Stat(s.root, e.Name())
		if err != nil {
			return err
		}
		if !info.IsDir() || hidden(e.Name()) {
			continue
		}
		s.spec.Classes = append(s.spec.Classes, e.Name())
		before := len(s.files)
		if err := fs.WalkDir(s.root, e.Name(), s.visit); err != nil {
			return err
		}
		if len(s.files) == before {
			return fmt.Errorf("class %q has no images; want 1 or more with a name that ends in .png, .jpg or .jpeg", e.Name())
		}
	}
	if len(s.files) == 0 {
		return errors.New("there are no folders; want one for each class")
	}
	return nil
}

// visit adds a file, if it is an image, to the last class.
func (s *folder) visit(name string, e fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return err
	case hidden(e.Name()) && e.IsDir():
		return fs.SkipDir
	case hidden(e.Name()) || e.IsDir() || !isImage(name):
		return nil
	}
	info, err := fs.Stat(s.root, name)
	if err != nil || info.IsDir() {
		return err
	}
	s.files = append(s.files, imageFile{name, info.Size(), len(s.spec.Classes) - 1, pathID(s.config.Name, name)})
	return nil
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

func isImage(name string) bool {
	return slices.Contains([]string{".png", ".jpg", ".jpeg"}, strings.ToLower(path.Ext(name)))
}

// pathID is the start of a hash of a path.
func pathID(parts ...string) uint64 {
	d := newDigest("path")
	d.texts(parts)
	sum := d.sum()
	return binary.LittleEndian.Uint64(sum[:])
}

// describe checks the ids, completes the size and makes the spec.
func (s *folder) describe() error {
	of := make(map[uint64]string, len(s.files))
	print := newDigest("image folder")
	print.text(s.config.Name)
	for _, f := range s.files {
		if other, ok := of[f.id]; ok {
			return fmt.Errorf("%s and %s have one id by chance; want another name for one of them", other, f.path)
		}
		of[f.id] = f.path
		print.text(f.path)
		numbers(print, []int64{f.size})
	}
	if err := s.measure(); err != nil {
		return err
	}
	c, channels := &s.config, 3
	if c.Grey {
		channels = 1
	}
	print.ints([]int{channels, c.Height, c.Width, int(c.Fit)})
	print.texts(s.spec.Classes)
	s.spec.In = map[string]Field{Input: {Shape: tensor.Shape{channels, c.Height, c.Width}, Dtype: tensor.Float32}}
	s.spec.Label = Field{Dtype: tensor.Int}
	s.spec.Views = 1
	s.spec.Fingerprint = print.sum()
	return s.spec.check(1)
}

// measure takes the size of the first image where none is asked for.
func (s *folder) measure() error {
	if s.config.Height > 0 {
		return nil
	}
	room := s.room()
	defer s.spare.Put(room)
	first := s.files[0].path
	size, err := room.open(s.root, first)
	if err == nil {
		err = s.config.checkSize(size)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", first, err)
	}
	s.config.Width, s.config.Height = size.X, size.Y
	return nil
}

// Len implements [Set].
func (s *folder) Len() int { return len(s.files) }

// Spec implements [Set].
func (s *folder) Spec() Spec { return s.spec }

// ID implements [Set].
func (s *folder) ID(i int) uint64 { return s.files[i].id }

func (s *folder) slow() bool { return true }

// Read implements [Set].
func (s *folder) Read(i int, view uint64, dst Sample) error {
	if i < 0 || i >= len(s.files) {
		return fmt.Errorf("row %d of a set of %d", i, len(s.files))
	}
	if view != 0 {
		return fmt.Errorf("view %d of a set with one view", view)
	}
	f := s.files[i]
	fill(Row[int](dst.Batch.Label, dst.Row), f.class)
	x := Row[float32](dst.Batch.In[Input], dst.Row)
	if x == nil {
		return nil // the label alone is wanted
	}
	room := s.room()
	defer s.spare.Put(room)
	if err := room.develop(s.config, s.root, f.path, x); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	return nil
}

func (s *folder) room() *darkroom {
	if room, ok := s.spare.Get().(*darkroom); ok {
		return room
	}
	return new(darkroom)
}
