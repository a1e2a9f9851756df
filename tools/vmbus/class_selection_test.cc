#include "tools/vmbus/class_selection.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

constexpr DeviceClass kDisk = {.name = "disk", .class_ids = {}};
constexpr DeviceClass kNic = {.name = "nic", .class_ids = {}};
constexpr DeviceClass kPluginDisk = {.name = "disk", .class_ids = {}};
constexpr DeviceClass kExtra = {.name = "extra", .class_ids = {}};
constexpr VspClass kDiskVsp = {.name = "disk", .class_id = {}, .default_instance_id = {}};
constexpr VspClass kNicVsp = {.name = "nic", .class_id = {}, .default_instance_id = {}};
constexpr VspClass kExtraVsp = {.name = "extra", .class_id = {}, .default_instance_id = {}};

const ClassSelection kBuiltIn = {.classes = {&kDisk, &kNic}, .vsp_classes = {&kDiskVsp, &kNicVsp}};

TEST(ClassSelection, IsEverythingWithoutNames) {
  absl::StatusOr<ClassSelection> selection = SelectClasses(kBuiltIn, {}, {});
  ASSERT_TRUE(selection.ok());
  EXPECT_EQ(selection->classes, kBuiltIn.classes);
  EXPECT_EQ(selection->vsp_classes, kBuiltIn.vsp_classes);
}

TEST(ClassSelection, KeepsBothSidesOfTheNamedClasses) {
  const std::vector<std::string> names = {"nic", "nic"};
  absl::StatusOr<ClassSelection> selection = SelectClasses(kBuiltIn, names, {});
  ASSERT_TRUE(selection.ok());
  EXPECT_EQ(selection->classes, (std::vector<const DeviceClass*>{&kNic}));
  EXPECT_EQ(selection->vsp_classes, (std::vector<const VspClass*>{&kNicVsp}));
}

TEST(ClassSelection, OfAnUnknownNameSaysWhatThereIs) {
  const std::vector<std::string> names = {"nic", "floppy"};
  EXPECT_EQ(SelectClasses(kBuiltIn, names, {}).status().message(),
            "there is no class 'floppy'; there are disk, nic");
}

TEST(ClassSelection, AddsTheClassesOfPlugins) {
  const PluginClasses plugins[] = {{"/x.so", {{&kExtra}, {&kExtraVsp}}}};
  absl::StatusOr<ClassSelection> selection = SelectClasses(kBuiltIn, {}, plugins);
  ASSERT_TRUE(selection.ok());
  EXPECT_EQ(selection->classes, (std::vector<const DeviceClass*>{&kDisk, &kNic, &kExtra}));
  EXPECT_EQ(selection->vsp_classes,
            (std::vector<const VspClass*>{&kDiskVsp, &kNicVsp, &kExtraVsp}));
}

TEST(ClassSelection, LetsAPluginStandInForAClassThatWasLeftOut) {
  const std::vector<std::string> names = {"nic"};
  const PluginClasses plugins[] = {{"/disk.so", {{&kPluginDisk}, {}}}};
  absl::StatusOr<ClassSelection> selection = SelectClasses(kBuiltIn, names, plugins);
  ASSERT_TRUE(selection.ok());
  EXPECT_EQ(selection->classes, (std::vector<const DeviceClass*>{&kNic, &kPluginDisk}));
}

TEST(ClassSelection, RefusesAClassThatIsThereAlready) {
  const PluginClasses plugins[] = {{"/disk.so", {{&kPluginDisk}, {}}}};
  EXPECT_EQ(SelectClasses(kBuiltIn, {}, plugins).status().message(),
            "class 'disk' of plugin /disk.so is there already; choose the other classes with "
            "--devices (now: disk, nic)");
}

TEST(ClassSelection, RefusesAPluginWithNothingInIt) {
  const PluginClasses plugins[] = {{"/empty.so", {}}};
  EXPECT_EQ(SelectClasses(kBuiltIn, {}, plugins).status().message(),
            "plugin /empty.so has no class");
}

}  // namespace
}  // namespace vmbuskit
