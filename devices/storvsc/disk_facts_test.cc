// The answers of section 7.1, as hosts give them and as nobody should.
#include "devices/storvsc/disk_facts.h"

#include <string>
#include <vector>

#include "devices/storvsc/protocol.h"
#include "framework/base/hex.h"
#include "gtest/gtest.h"
#include "platform/random.h"

namespace vmbuskit {
namespace {

using Bytes = std::vector<std::byte>;

Bytes operator+(Bytes head, const std::string& text) {
  for (char c : text) head.push_back(static_cast<std::byte>(c));
  return head;
}

Bytes Padded(Bytes bytes, size_t size) {
  bytes.resize(size);
  return bytes;
}

Bytes StandardInquiry() {
  return Padded(FromHex("00 00 05 02 63 00 00 02") + "Msft    Virtual Disk    1.0 ", 104);
}

TEST(DiskFacts, InquiryOfADisk) {
  const InquiryFacts facts = ParseInquiry(StandardInquiry());
  EXPECT_TRUE(facts.present);
  EXPECT_EQ(facts.device_type, kScsiDisk);
  EXPECT_TRUE(facts.command_queueing);
  EXPECT_FALSE(facts.removable);
  EXPECT_EQ(facts.vendor, "Msft");
  EXPECT_EQ(facts.product, "Virtual Disk");
  EXPECT_EQ(facts.revision, "1.0");
}

TEST(DiskFacts, InquiryOfADvdAndOfNothing) {
  const InquiryFacts dvd =
      ParseInquiry(FromHex("05 80 00 02 1F 00 00 00") + "Msft    Virtual DVD-ROM 1.0 ");
  EXPECT_EQ(dvd.device_type, kScsiDvd);
  EXPECT_TRUE(dvd.removable);
  EXPECT_EQ(dvd.product, "Virtual DVD-ROM");
  EXPECT_FALSE(ParseInquiry(FromHex("7F 00 05 02 63 00 00 00")).present);  // no such LUN
}

TEST(DiskFacts, InquiryCutShortSaysWhatItHas) {
  const Bytes whole = StandardInquiry();
  EXPECT_FALSE(ParseInquiry(std::span(whole).first(4)).present);
  EXPECT_FALSE(ParseInquiry({}).present);
  const InquiryFacts facts = ParseInquiry(std::span(whole).first(10));
  EXPECT_TRUE(facts.present);
  EXPECT_EQ(facts.vendor, "Ms");
  EXPECT_EQ(facts.product, "");
}

TEST(DiskFacts, TextOfTheHostIsMadePrintable) {
  Bytes bytes = StandardInquiry();
  bytes[9] = std::byte{0x07};
  bytes[10] = std::byte{0xFF};
  EXPECT_EQ(ParseInquiry(bytes).vendor, "M  t");
}

TEST(DiskFacts, ListedPages) {
  const VpdPages pages = ParseVpdPages(FromHex("00 00 00 06 00 83 B0 B2 CE CF FF FF"));
  EXPECT_TRUE(pages[0x83] && pages[0xB0] && pages[0xB2] && pages[0xCF]);
  EXPECT_FALSE(pages[0xFF]);  // beyond the page's length
  EXPECT_EQ(pages.count(), 6u);
  EXPECT_TRUE(ParseVpdPages(FromHex("00 83 00 01 83")).none());        // another page
  EXPECT_EQ(ParseVpdPages(FromHex("00 00 FF FF 80 83")).count(), 2u);  // says more than came
}

TEST(DiskFacts, SerialAndIdentity) {
  EXPECT_EQ(ParseVpdSerial(FromHex("00 80 00 05 20 41 42 43 20 58")), "ABC");
  const Bytes page = FromHex(
      "00 83 00 30 01 01 00 18 4d 73 66 74 20 20 20 20 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d "
      "0e 0f"
      " 01 03 00 10 60 02 24 80 00 01 02 03 04 05 0a 0b 0c 0d 0e 0f");
  EXPECT_EQ(ParseVpdId(page), "naa.600224800001020304050a0b0c0d0e0f");
  // Without the better one: the vendor's.
  EXPECT_EQ(ParseVpdId(std::span(page).first(32)),
            "t10.4d73667420202020000102030405060708090a0b0c0d0e0f");
  // A port's name is not the disk's.
  EXPECT_EQ(ParseVpdId(FromHex("00 83 00 06 01 13 00 02 aa bb")), "");
  // A designator that reaches past the page is cut.
  EXPECT_EQ(ParseVpdId(FromHex("00 83 00 08 01 02 00 ff aa bb cc dd")), "eui.aabbccdd");
}

TEST(DiskFacts, BlockLimitsRotationAndProvisioning) {
  Bytes page = Padded(FromHex("00 B0 00 3C"), 64);
  page[20] = page[21] = page[22] = page[23] = std::byte{0xFF};
  page[26] = std::byte{0x10};
  page[31] = std::byte{1};
  page[42] = std::byte{0x40};
  const auto limits = ParseVpdLimits(page);
  ASSERT_TRUE(limits.has_value());
  EXPECT_EQ(limits->max_unmap, 0xFFFFFFFFu);
  EXPECT_EQ(limits->max_unmap_descriptors, 4096u);
  EXPECT_EQ(limits->unmap_granularity, 1u);
  EXPECT_EQ(limits->max_write_same, 0x4000u);
  EXPECT_EQ(ParseVpdLimits(FromHex("00 B0 00 3C 00")).value().max_unmap, 0u);
  EXPECT_FALSE(ParseVpdLimits(FromHex("00 B0 00 00")).has_value());

  EXPECT_FALSE(ParseVpdRotational(FromHex("00 B1 00 3C 00 01")));
  EXPECT_TRUE(ParseVpdRotational(FromHex("00 B1 00 3C 1C 20")));
  EXPECT_FALSE(ParseVpdRotational(FromHex("00 B1 00 3C 1C")));

  const auto thin = ParseVpdProvisioning(FromHex("00 B2 00 04 01 80 02 00"));
  ASSERT_TRUE(thin.has_value());
  EXPECT_TRUE(thin->unmap);
  EXPECT_FALSE(thin->write_same_unmaps);
  EXPECT_FALSE(thin->unmapped_zero);
  EXPECT_TRUE(ParseVpdProvisioning(FromHex("00 B2 00 04 01 E4 02 00"))->unmapped_zero);
  EXPECT_FALSE(ParseVpdProvisioning(FromHex("00 B2 00 01 01")).has_value());
}

// Protocol 10 section 10.9.
TEST(DiskFacts, CapacityOfTheReference) {
  const auto facts =
      ParseCapacity16(Padded(FromHex("00 00 00 00 00 3f ff ff 00 00 02 00 00 03 80 00"), 32));
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->bytes(), uint64_t{2} << 30);
  EXPECT_EQ(facts->block_bytes, 512u);
  EXPECT_EQ(facts->physical_block_bytes, 4096u);
  EXPECT_TRUE(facts->provisioned);
  EXPECT_FALSE(facts->unmapped_zero);
}

TEST(DiskFacts, CapacityInTenBytesAndBeyond) {
  const auto facts = ParseCapacity10(FromHex("00 00 00 07 00 00 10 00"));
  ASSERT_TRUE(facts.ok());
  EXPECT_EQ(facts->bytes(), 8u * 4096);
  EXPECT_FALSE(NeedsCapacity16(FromHex("00 00 00 07 00 00 10 00")));
  EXPECT_TRUE(NeedsCapacity16(FromHex("ff ff ff ff 00 00 02 00")));
  EXPECT_TRUE(NeedsCapacity16({}));
}

TEST(DiskFacts, CapacitiesThatNoDiskHasAreRefusedByName) {
  struct Case {
    const char* data;
    const char* error;
  };
  for (const Case& each :
       {Case{"00 00 00 00 00 00 00 07 00 00 00 00", "READ CAPACITY data: block size is 0"},
        Case{"00 00 00 00 00 00 00 07 00 00 02 08", "READ CAPACITY data: block size is 520"},
        Case{"00 00 00 00 00 00 00 07 00 00 01 00", "READ CAPACITY data: block size is 256"},
        Case{"00 00 00 00 00 00 00 07 80 00 00 00", "READ CAPACITY data: block size is 2147483648"},
        Case{"ff ff ff ff ff ff ff ff 00 00 02 00",
             "READ CAPACITY data: last block is 18446744073709551615"},
        Case{"00 40 00 00 00 00 00 00 00 00 02 00",
             "READ CAPACITY data: last block is 18014398509481984"},
        Case{"00 00 00 00 00 00 00", "READ CAPACITY(16) data: bytes is 7"}}) {
    const auto facts = ParseCapacity16(FromHex(each.data));
    ASSERT_FALSE(facts.ok()) << each.data;
    EXPECT_EQ(facts.status().message().find(each.error), 0u) << facts.status();
  }
  EXPECT_FALSE(ParseCapacity10(FromHex("00 00 00 07 00 00")).ok());
  // An exponent that makes no block size is dropped, not the disk.
  EXPECT_EQ(
      ParseCapacity16(FromHex("00 00 00 00 00 00 00 07 00 00 02 00 00 0F"))->physical_block_bytes,
      512u);
}

TEST(DiskFacts, CachingPageWhereverItStands) {
  const auto six = ParseModeSense6(FromHex("0F 00 90 00 08 0A 04 00 00 00 00 00 00 00 00 00"));
  ASSERT_TRUE(six.has_value());
  EXPECT_TRUE(six->write_protected && six->dpo_fua && six->write_cache);
  const auto ten = ParseModeSense10(FromHex(
      "00 1A 00 10 00 00 00 08 11 11 11 11 11 11 11 11 08 0A 04 00 00 00 00 00 00 00 00 00"));
  ASSERT_TRUE(ten.has_value());
  EXPECT_TRUE(ten->dpo_fua && ten->write_cache);
  EXPECT_FALSE(ten->write_protected);
  // Behind another page, and behind a subpage.
  EXPECT_TRUE(ParseModeSense6(FromHex("0B 00 00 00 01 02 00 00 08 0A 04 00"))->write_cache);
  EXPECT_TRUE(ParseModeSense6(FromHex("0D 00 00 00 48 01 00 02 00 00 08 0A 04 00"))->write_cache);
  // Lengths that reach past the end.
  EXPECT_FALSE(ParseModeSense6(FromHex("FF 00 00 FF 08 0A 04"))->write_cache);
  EXPECT_FALSE(ParseModeSense6(FromHex("0F 00")).has_value());
  EXPECT_FALSE(ParseModeSense10(FromHex("FF FF 00 00 00 00")).has_value());
  EXPECT_FALSE(ParseModeSense6({}).has_value());
}

DiskFacts ThinDisk() {
  DiskFacts facts;
  facts.inquiry = ParseInquiry(StandardInquiry());
  facts.capacity = {
      .blocks = 1 << 22, .block_bytes = 512, .physical_block_bytes = 4096, .provisioned = true};
  facts.limits = LimitFacts{.max_unmap = 0xFFFFFFFF,
                            .max_unmap_descriptors = 4096,
                            .unmap_granularity = 8,
                            .max_write_same = 0x4000};
  facts.provisioning = ProvisioningFacts{.unmap = true};
  facts.caching = CachingFacts{.dpo_fua = true, .write_cache = true};
  facts.id = "naa.6002";
  return facts;
}

TEST(DiskFacts, DescriptionOfAThinDisk) {
  const BlockInfo info =
      DescribeDisk(ThinDisk(), {.max_transfer_bytes = 256 << 10, .version = storvsc::kVersion6_2});
  EXPECT_EQ(info.block_bytes, 512u);
  EXPECT_EQ(info.physical_block_bytes, 4096u);
  EXPECT_EQ(info.max_transfer_bytes, 256u << 10);
  EXPECT_TRUE(info.volatile_cache && info.force_unit_access && !info.read_only);
  EXPECT_TRUE(info.discard);
  EXPECT_EQ(info.discard_granularity, 4096u);
  EXPECT_EQ(info.discard_bytes_max, uint64_t{0xFFFFFFFF} * 512);
  EXPECT_TRUE(info.write_zeroes);
  EXPECT_EQ(info.write_zeroes_bytes_max, 8u << 20);
  EXPECT_TRUE(info.status);
  EXPECT_EQ(info.id, "naa.6002");
  EXPECT_EQ(info.product, "Virtual Disk");
  EXPECT_FALSE(WriteSameUnmapsToZero(ThinDisk()));
}

TEST(DiskFacts, OldHostsAreNotAskedToWriteTheSame) {
  EXPECT_FALSE(
      DescribeDisk(ThinDisk(), {.max_transfer_bytes = 256 << 10, .version = storvsc::kVersion5_1})
          .write_zeroes);
}

TEST(DiskFacts, WhatIsNotSaidIsNotAssumed) {
  DiskFacts facts;
  facts.capacity = {.blocks = 100, .block_bytes = 2048, .physical_block_bytes = 2048};
  facts.inquiry.device_type = 0;
  facts.serial = "S1";
  const BlockInfo info =
      DescribeDisk(facts, {.max_transfer_bytes = 100'000, .version = storvsc::kVersion6_2});
  EXPECT_TRUE(info.volatile_cache) << "to be on the safe side";
  EXPECT_FALSE(info.discard || info.write_zeroes || info.force_unit_access || info.status);
  EXPECT_EQ(info.max_transfer_bytes, 98304u);
  EXPECT_EQ(info.id, "S1");
}

TEST(DiskFacts, ADvdIsReadAndNotFlushed) {
  DiskFacts facts;
  facts.capacity = {.blocks = 100, .block_bytes = 2048, .physical_block_bytes = 2048};
  facts.inquiry.device_type = kScsiDvd;
  const BlockInfo info =
      DescribeDisk(facts, {.max_transfer_bytes = 100'000, .version = storvsc::kVersion6_2});
  EXPECT_TRUE(info.read_only);
  EXPECT_FALSE(info.volatile_cache);
}

TEST(DiskFacts, LimitsOfTheDiskItselfCount) {
  DiskFacts facts = ThinDisk();
  facts.limits->max_transfer = 24;
  EXPECT_EQ(DescribeDisk(facts, {.max_transfer_bytes = 256 << 10}).max_transfer_bytes, 12288u);
  facts.limits->max_transfer = 3;
  EXPECT_EQ(DescribeDisk(facts, {.max_transfer_bytes = 256 << 10}).max_transfer_bytes, 1536u);
}

// Whatever bytes a host sends, parsers end and stay inside; the sanitizers watch.
TEST(DiskFacts, ArbitraryBytesAreBounded) {
  Random random(7);
  for (int round = 0; round < 20'000; ++round) {
    Bytes bytes(random.Next() % 70);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.Next());
    if (bytes.size() > 1 && round % 2 == 0) {
      constexpr uint8_t kPages[] = {0x00, 0x80, 0x83, 0xB0, 0xB1, 0xB2};
      bytes[1] = static_cast<std::byte>(kPages[round / 2 % std::size(kPages)]);
    }
    EXPECT_LE(ParseInquiry(bytes).product.size(), 16u);
    (void)ParseVpdPages(bytes);
    EXPECT_LE(ParseVpdSerial(bytes).size(), bytes.size());
    EXPECT_LE(ParseVpdId(bytes).size(), 4 + 2 * bytes.size());
    (void)ParseVpdLimits(bytes);
    (void)ParseVpdRotational(bytes);
    (void)ParseVpdProvisioning(bytes);
    (void)ParseCapacity10(bytes);
    (void)ParseCapacity16(bytes);
    (void)ParseModeSense6(bytes);
    (void)ParseModeSense10(bytes);
  }
}

}  // namespace
}  // namespace vmbuskit
